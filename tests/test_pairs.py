"""Pairs of shards: packed, learnt by an encoder-decoder, resumed; and what cannot be paired."""

import json

import numpy as np
import pytest
import torch
import transformers

from toy import OTHER, SIZE, TABLE, arguments_of, counting, reversals, same, weights, write
from ult.errors import FormatError, InvalidConfig, OutputExists, TrainingError, WrongTable, WrongVocabulary
from ult.public.run import Run
from ult.public.vocabulary import Vocabulary
from ult.trainer.callbacks.progress import Progress
from ult.trainer.datasets.collator import collate
from ult.trainer.datasets.packing import open_shards, pack
from ult.trainer.datasets.pairs import TARGETS, Pairs, open_targets
from ult.trainer.loss import predict
from ult.trainer.models.build import build
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

QUICK = {"task": "seq2seq", "steps": 6, "batch_size": 4, "context": 12}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return reversals(tmp_path_factory.mktemp("pairs"), 60)


@pytest.fixture(scope="module")
def bart(tmp_path_factory):
    """A stranger's checkpoint: learnt positions, dropout, its own way to generate."""
    torch.manual_seed(5)
    config = transformers.BartConfig(
        vocab_size=100,
        max_position_embeddings=16,
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
    )
    model = transformers.BartForConditionalGeneration(config)
    model.generation_config.update(num_beams=4, min_length=9, forced_bos_token_id=7)
    folder = tmp_path_factory.mktemp("hub") / "bart"
    model.save_pretrained(folder)
    return folder


def pairs(folder, sources, targets, *, context):
    many = open_shards(sources)
    pack(many, folder)
    pack(open_targets(targets, many, task="seq2seq"), folder / TARGETS)
    return Pairs.open(folder, context=context)


def recipe(**options):
    return Recipe(**{**QUICK, **options})


def test_a_pair_reads_its_source_and_writes_its_target(tmp_path):
    sources = [np.array(r, np.uint32) for r in ([40, 41], [], [42, 43, 44, 45, 46])]
    targets = [np.array(r, np.uint32) for r in ([50], [51, 52, 53, 54], [55, 56, 57])]
    one = [write(tmp_path / "a", sources[:1]), write(tmp_path / "b", sources[1:])]
    other = [write(tmp_path / "c", targets[:1], table=OTHER), write(tmp_path / "d", targets[1:], table=OTHER)]
    data = pairs(tmp_path / "packed", one, other, context=4)
    items = [{name: ids.tolist() for name, ids in data[k].items()} for k in range(len(data))]
    assert [item["input_ids"] for item in items] == [[40, 41, 2], [2], [42, 43, 44, 2]]
    assert [item["decoder_input_ids"] for item in items] == [[2, 50], [2, 51, 52, 53], [2, 55, 56, 57]]
    assert [item["labels"] for item in items] == [[50, 2], [51, 52, 53, 54], [55, 56, 57, 2]]
    assert [item["attention_mask"] for item in items] == [[1, 1, 1], [1], [1, 1, 1, 1]]
    assert [data.records(k).tolist() for k in range(3)] == [[0, 0], [1, 1, 1, 1], [2, 2, 2, 2]]
    assert data.counts.tolist() == [2, 4, 4]
    assert (data.ids, data.truncated, data.whole) == (3 + 1 + 4 + 10, 2, False)
    assert data.target(1).tolist() == [51, 52, 53, 54]
    batch = collate([data[0], data[1]])
    assert batch["input_ids"].tolist() == [[40, 41, 2], [2, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch["labels"].tolist() == [[50, 2, -100, -100], [51, 52, 53, 54]]


def test_padding_changes_no_prediction(shards, tmp_path):
    data = pairs(tmp_path / "packed", *shards, context=12)
    torch.manual_seed(0)
    model, _ = build(recipe(), Vocabulary(SIZE), {TABLE}, [])
    model.eval()
    with torch.no_grad():
        together = predict(model, collate([data[k] for k in range(8)]))
        for k in range(8):
            alone = predict(model, collate([data[k]]))
            torch.testing.assert_close(together[k, : alone.shape[1]], alone[0], rtol=1e-4, atol=1e-4)


def test_the_run_says_what_was_done(shards, tmp_path):
    metrics = train(shards[0], tmp_path / "run", Recipe(**QUICK), targets=shards[1])
    assert metrics == json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert (metrics["task"], metrics["model"], metrics["truncated"], metrics["classes"]) == ("seq2seq", "tiny", 0, [])
    assert [s["name"] for s in metrics["shards"]] == ["sources"]
    assert [(s["name"], s["rows"]) for s in metrics["targets"]] == [("targets", 60)]
    config = transformers.AutoConfig.from_pretrained(tmp_path / "run")
    assert (config.vocab_size, config.is_encoder_decoder, config.decoder_start_token_id) == (SIZE, True, 2)
    assert Run.open(tmp_path / "run").tables == {TABLE, OTHER}
    del metrics["targets"]
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    with pytest.raises(FormatError, match="targets is missing"):
        Run.open(tmp_path / "run")
    (tmp_path / "run" / "metrics.json").write_text(json.dumps({**metrics, "task": "dance"}))
    with pytest.raises(FormatError, match="task is 'dance'"):
        Run.open(tmp_path / "run")


def test_the_parts_of_a_batch_add_up_to_it(shards, tmp_path):
    whole = train(shards[0], tmp_path / "whole", Recipe(**QUICK), targets=shards[1])
    parts = train(shards[0], tmp_path / "parts", Recipe(**QUICK, accumulate=4), targets=shards[1])
    np.testing.assert_allclose(parts["loss"], whole["loss"], rtol=1e-5)


def test_resumed_run_equals_an_undisturbed_one(shards, bart, tmp_path, monkeypatch):
    options = {**QUICK, "targets": shards[1], "model": str(bart), "validation": shards[0]}
    options |= {"validation_targets": shards[1], "evaluate_every": 2}
    whole = train(shards[0], tmp_path / "whole", **arguments_of(**options))
    assert [step for step, _ in whole["validation"]["bits"]] == [2, 4, 6]
    advance = Progress.on_step_end

    def advance_or_stop(self, args, state, control, **rest):
        advance(self, args, state, control, **rest)
        if state.global_step == 5:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "on_step_end", advance_or_stop)
        with pytest.raises(KeyboardInterrupt):
            train(shards[0], tmp_path / "cut", **arguments_of(**options))
    with pytest.raises(OutputExists, match="--resume"):
        train(shards[0], tmp_path / "cut", **arguments_of(**options))
    with pytest.raises(TrainingError, match="started with other targets"):
        train(
            shards[0],
            tmp_path / "cut",
            **arguments_of(**{**options, "targets": write_twin(tmp_path)}, resume=True),
        )
    metrics = train(shards[0], tmp_path / "cut", **arguments_of(**options, resume=True))
    assert metrics["resumed_at"] == 4
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def write_twin(folder):
    return write(folder / "twin", counting(60), table=OTHER)


def test_a_stranger_s_checkpoint_forgets_how_it_generated(shards, bart, tmp_path):
    train(shards[0], tmp_path / "run", Recipe(**QUICK, model=str(bart)), targets=shards[1])
    config = transformers.GenerationConfig.from_pretrained(tmp_path / "run")
    assert (config.num_beams, config.min_length, config.forced_bos_token_id) in ((None,) * 3, (1, 0, None))
    assert (config.decoder_start_token_id, config.eos_token_id, config.pad_token_id) == (2, 2, 0)
    with pytest.raises(InvalidConfig, match="room for 16"):
        train(shards[0], tmp_path / "no", Recipe(**{**QUICK, "context": 17}, model=str(bart)), targets=shards[1])


def test_an_earlier_run_is_gone_on_from(shards, tmp_path):
    train(shards[0], tmp_path / "a", Recipe(**QUICK), targets=shards[1])
    before = weights(tmp_path / "a")
    model, embeddings = build(recipe(from_run=str(tmp_path / "a")), Vocabulary(SIZE), {TABLE, OTHER}, [])
    assert embeddings == "keep"
    assert same(before, {name: w for name, w in model.state_dict().items() if name in before})
    model, embeddings = build(recipe(from_run=str(tmp_path / "a")), Vocabulary(SIZE), {TABLE}, [])
    rows = model.get_input_embeddings().weight
    assert embeddings == "fresh"
    assert torch.equal(rows[:32], before["shared.weight"][:32])
    assert not (rows[32:] == before["shared.weight"][32:]).any()
    assert rows[32:].std().item() == pytest.approx(128**-0.5, rel=0.05)
    train(shards[0], tmp_path / "lm", Recipe(steps=1, batch_size=2, context=12))
    for asked, path in (("seq2seq", "lm"), ("lm", "a"), ("classify", "a")):
        with pytest.raises(InvalidConfig, match="expected one for"):
            build(recipe(task=asked, from_run=str(tmp_path / path)), Vocabulary(SIZE), {TABLE}, [])


def test_what_cannot_be_paired(shards, tmp_path):
    sources, targets = shards
    few = write(tmp_path / "few", counting(59))
    small = write(tmp_path / "small", counting(60, high=40), size=40)
    lm = {**QUICK, "task": "lm"}
    for given, options, error, text in (
        (sources, {**QUICK}, InvalidConfig, "--targets SHARDS"),
        (sources, {**lm, "targets": targets}, InvalidConfig, "'lm' has no targets"),
        (sources, {**QUICK, "targets": few}, TrainingError, "holds 59 records and .* 60"),
        (sources, {**QUICK, "targets": small}, WrongVocabulary, "40"),
        ([sources, sources], {**QUICK, "targets": targets}, InvalidConfig, "1 shards of targets .* 2 of sources"),
        (sources, {**QUICK, "targets": targets, "validation": sources}, InvalidConfig, "--validation-targets SHARDS"),
        (sources, {**QUICK, "targets": targets, "validation_targets": targets}, InvalidConfig, "no sources for them"),
        (
            sources,
            {**QUICK, "targets": targets, "validation": sources, "validation_targets": sources},
            WrongTable,
            f"table {TABLE}",
        ),
        (sources, {**QUICK, "targets": targets, "model": "smollm2-135m"}, InvalidConfig, "no preset for seq2seq"),
    ):
        with pytest.raises(error, match=text):
            train(given, tmp_path / "run", **arguments_of(**options))
    assert not list(tmp_path.glob("*run*"))


def test_a_decoder_alone_is_no_encoder_decoder(shards, tmp_path):
    config = transformers.GPT2Config(vocab_size=64, n_positions=16, n_embd=32, n_layer=1, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    with pytest.raises(FormatError, match="AutoModelForSeq2SeqLM"):
        train(shards[0], tmp_path / "run", Recipe(**QUICK, model=str(tmp_path / "gpt2")), targets=shards[1])
