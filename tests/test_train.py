import importlib.util
import json
import re
import shutil

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import save_file

from toy import OTHER, SIZE, TABLE, arguments_of, blocks, counting, labelled, same, two_classes, weights, write
from ult.errors import (
    FormatError,
    InvalidConfig,
    MissingColumn,
    MissingExtra,
    MissingSource,
    OutputError,
    OutputExists,
    TrainingError,
    WrongVocabulary,
)
from ult.public.run import Run
from ult.public.vocabulary import Vocabulary
from ult.trainer.callbacks.progress import Progress
from ult.trainer.models.build import build
from ult.trainer.models.load import load_checkpoint, load_trained
from ult.trainer.models.smollm2 import WEIGHTS
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

pytestmark = pytest.mark.slow

QUICK = {"steps": 10, "batch_size": 4, "context": 16}


@pytest.fixture(scope="module")
def run(shards, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "a"
    train(shards, out, Recipe(steps=80, batch_size=8, context=16, learning_rate=3e-3))
    return out


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """A stranger's checkpoint: other architecture, other vocabulary, dropout."""
    torch.manual_seed(5)
    config = transformers.GPT2Config(
        vocab_size=100, n_positions=16, n_embd=32, n_layer=2, n_head=2, bos_token_id=99, eos_token_id=99
    )
    folder = tmp_path_factory.mktemp("hub") / "gpt2"
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def recipe(**options):
    return Recipe(**{**QUICK, **options})


def test_stream_predicts_every_id_and_every_end_once(tmp_path):
    records = [np.array(r, np.uint32) for r in ([40, 41], [42], [], [43, 44, 45])]
    paths = [write(tmp_path / "x", records[:2]), write(tmp_path / "y", records[2:])]
    data = blocks(tmp_path / "packed", paths, context=4)
    assert data.stream.tolist() == [2, 40, 41, 2, 42, 2, 2, 43, 44, 45, 2]
    assert [data[k]["input_ids"].tolist() for k in range(len(data))] == [[2, 40, 41, 2], [42, 2, 2, 43], [44, 45]]
    assert [data[k]["labels"].tolist() for k in range(len(data))] == [[40, 41, 2, 42], [2, 2, 43, 44], [45, 2]]
    assert np.concatenate([data.records(k) for k in range(len(data))]).tolist() == [0, 0, 0, 1, 1, 2, 3, 3, 3, 3]
    assert data.ids == 6 + 4


def test_labelled_records_are_cut_and_counted(tmp_path):
    records = [np.arange(40, 40 + n, dtype=np.uint32) for n in (0, 3, 2)]
    kept = {"label": [7, -1, 7], "other": ["a", "b", "c"]}
    data = labelled(tmp_path / "packed", write(tmp_path / "x", records, kept=kept), context=4)
    assert [data[k]["input_ids"].tolist() for k in range(3)] == [[2, 2], [2, 40, 41, 2], [2, 40, 41, 2]]
    assert (data.labels.tolist(), data.classes, data.truncated, data.ids) == ([1, 0, 1], [-1, 7], 1, 10)


def test_loss_falls_on_a_pattern_and_the_run_says_what_was_done(run):
    metrics = json.loads((run / "metrics.json").read_text())
    # Nothing is known, and what is believed is that ids repeat: a row is nearest to itself, and attention adds little.
    assert np.log(SIZE) < metrics["loss"][0][1] < np.log(SIZE) + 2.5
    assert metrics["loss"][-1][1] < 1.6
    assert metrics["loss"][-1][0] == metrics["steps"] == 80
    assert re.fullmatch("[0-9a-f]{64}", metrics["shards"][0].pop("digest"))
    assert (metrics["initial_weights"], len(metrics["initial_digest"])) == ("random", 64)
    assert metrics["shards"] == [
        {"name": "a", "table": TABLE, "codec": "text/bytes", "column": "text", "rows": 80, "ids": 452, "bytes": 1356}
    ]
    assert (metrics["model"], metrics["embeddings"], metrics["seed"]) == ("tiny", "fresh", 0)
    assert metrics["parameters"] == sum(w.numel() for w in weights(run).values())


def test_run_folder_is_a_checkpoint_without_optimizer_and_nothing_is_left_beside_it(run):
    assert [p.name for p in run.parent.iterdir()] == ["a"]
    assert {p.name for p in run.iterdir()} == {
        "config.json",
        "generation_config.json",
        "README.md",
        "loss.png",
        "metrics.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocabulary.json",
    }
    tokenizer = transformers.AutoTokenizer.from_pretrained(run)
    assert tokenizer("一<eos>").input_ids == [32, 2]
    config = transformers.AutoConfig.from_pretrained(run)
    assert (config.vocab_size, config.pad_token_id, config.eos_token_id, config.use_cache) == (SIZE, 0, 2, True)
    assert Vocabulary.load(run / "vocabulary.json").size == SIZE


def test_same_seed_gives_same_weights(shards, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(shards, tmp_path / name, Recipe(seed=seed, **QUICK))
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    one, other = weights(tmp_path / "a"), weights(tmp_path / "c")
    drawn = {name for name in one if one[name].dim() > 1}
    assert len(drawn) > 10
    for name in drawn:  # from the start by another seed, not by some later difference alone
        assert float(torch.nn.functional.cosine_similarity(one[name].flatten(), other[name].flatten(), 0)) < 0.5, name


def interrupt_at(step, monkeypatch):
    advance = Progress.on_step_end

    def advance_or_stop(self, args, state, control, **rest):
        advance(self, args, state, control, **rest)
        if state.global_step == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "on_step_end", advance_or_stop)


@pytest.mark.parametrize("torn", [False, True])
def test_resumed_run_equals_an_undisturbed_one(shards, gpt2, tmp_path, monkeypatch, torn):
    options = {**QUICK, "model": str(gpt2)}  # with dropout, so the generators' states matter
    train(shards, tmp_path / "whole", Recipe(**options))
    with monkeypatch.context() as patch:
        interrupt_at(7, patch)
        with pytest.raises(KeyboardInterrupt) as caught:
            train(shards, tmp_path / "cut", Recipe(**options))
    assert "--resume" in caught.value.__notes__[0]
    assert not (tmp_path / "cut").exists()
    if torn:
        (tmp_path / ".cut.partial" / "checkpoint-7").mkdir()
    with pytest.raises(OutputExists, match=r"--resume to go on, --force to start again"):
        train(shards, tmp_path / "cut", Recipe(**options))
    with pytest.raises(TrainingError, match="started with other seed"):
        train(shards, tmp_path / "cut", Recipe(**options, seed=3), resume=True)
    metrics = train(shards, tmp_path / "cut", Recipe(**options), resume=True)
    assert metrics["resumed_at"] == 6
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    assert [step for step, _ in metrics["loss"]] == list(range(1, 11))
    assert {p.name for p in tmp_path.iterdir()} == {"cut", "whole"}


def test_resume_after_the_last_step_only_writes_the_run(shards, tmp_path, monkeypatch):
    train(shards, tmp_path / "whole", Recipe(**QUICK))
    with monkeypatch.context() as patch:
        patch.setattr(
            "ult.trainer.results.draw_loss", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
        )
        with pytest.raises(OutputError, match="No space left"):
            train(shards, tmp_path / "cut", Recipe(**QUICK))
    metrics = train(shards, tmp_path / "cut", Recipe(**QUICK), resume=True)
    assert metrics["resumed_at"] == 10
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))


def test_interrupt_before_a_checkpoint_leaves_nothing(shards, tmp_path, monkeypatch):
    interrupt_at(1, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(shards, tmp_path / "run", Recipe(**QUICK))
    assert list(tmp_path.iterdir()) == []


def test_existing_output_is_replaced_only_by_force_and_only_if_a_run(shards, tmp_path):
    train(shards, tmp_path / "run", Recipe(**QUICK))
    before = weights(tmp_path / "run")
    for options in ({}, {"resume": True}):
        with pytest.raises(OutputExists, match="--force to replace it"):
            train(shards, tmp_path / "run", **arguments_of(**QUICK, **options))
    assert same(before, weights(tmp_path / "run"))  # as it was
    train(shards, tmp_path / "run", Recipe(**QUICK, seed=1), force=True)
    assert not same(before, weights(tmp_path / "run"))
    assert Run.open(tmp_path / "run").metrics["seed"] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    (tmp_path / "run" / "notes.md").touch()
    with pytest.raises(OutputExists, match=r"holds notes\.md, which is no part of a run"):
        train(shards, tmp_path / "run", Recipe(**QUICK), force=True)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "metrics.json").touch()  # as others call theirs too
    with pytest.raises(OutputExists):
        train(shards, tmp_path / "precious", Recipe(**QUICK), force=True)
    with pytest.raises(TrainingError, match="no unfinished training"):
        train(shards, tmp_path / "new", Recipe(**QUICK), resume=True)
    assert {p.name for p in tmp_path.iterdir()} == {"run", "precious"}


@pytest.mark.parametrize(
    ("asked", "tables", "chosen"),
    [(None, {TABLE}, "keep"), (None, {OTHER}, "fresh"), ("keep", {OTHER}, "keep"), ("fresh", {TABLE}, "fresh")],
)
def test_body_is_kept_and_rows_as_asked(run, asked, tables, chosen):
    model, embeddings = build(recipe(from_run=str(run), embeddings=asked), Vocabulary(SIZE), tables, [])
    before, rows = weights(run), "model.embed_tokens.weight"
    after = {name: weight for name, weight in model.state_dict().items() if name != "lm_head.weight"}
    assert embeddings == chosen
    assert same({**before, rows: 0 * before[rows]}, {**after, rows: 0 * after[rows]})
    assert torch.equal(before[rows][:32], after[rows][:32])
    assert (before[rows] == after[rows])[32:].float().mean() == (1.0 if chosen == "keep" else 0.0)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    if chosen == "fresh":
        assert after[rows][32:].std() == pytest.approx(0.02, rel=0.05)


def test_untied_output_rows_are_drawn_too(tmp_path):
    config = transformers.LlamaConfig(
        vocab_size=SIZE,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        tie_word_embeddings=False,
    )
    before = transformers.LlamaForCausalLM(config)
    before.save_pretrained(tmp_path / "untied")
    after, _ = build(recipe(model=str(tmp_path / "untied")), Vocabulary(SIZE), {TABLE}, [])
    for rows in ("get_input_embeddings", "get_output_embeddings"):
        assert not (getattr(before, rows)().weight == getattr(after, rows)().weight).any()
    assert torch.equal(before.model.norm.weight, after.model.norm.weight)


def test_from_run_records_its_parent_and_starts_from_it(run, shards, tmp_path):
    metrics = train(shards, tmp_path / "b", Recipe(from_run=run, **QUICK))
    assert (metrics["from_run"], metrics["model"], metrics["embeddings"]) == ("a", None, "keep")
    assert metrics["loss"][0][1] < 1.6


def test_checkpoint_of_another_family_is_resized(gpt2, shards, tmp_path):
    metrics = train([shards, shards], tmp_path / "run", Recipe(model=str(gpt2), **QUICK))
    config = transformers.AutoConfig.from_pretrained(tmp_path / "run")
    assert (config.model_type, config.vocab_size, config.eos_token_id) == ("gpt2", SIZE, 2)
    assert metrics["model"] == "gpt2"
    assert [s["rows"] for s in metrics["shards"]] == [80, 80]


def test_classifier_learns_and_can_start_from_a_language_model(run, tmp_path):
    data = two_classes(tmp_path / "x")
    metrics = train(data, tmp_path / "c", Recipe(task="classify", from_run=run, steps=20, batch_size=8, context=8))
    assert metrics["loss"][-1][1] < 0.1
    assert (metrics["label"], metrics["classes"]) == ("label", ["high", "low"])
    assert metrics["truncated"] == sum(len(r) > 6 for half in ((32, 48), (48, 64)) for r in halves(*half))
    body, head = weights(run), weights(tmp_path / "c")
    assert head["score.weight"].shape == (2, 128)
    assert body.keys() == head.keys() - {"score.weight"}


def halves(low, high):
    return counting(32, low=low, high=high)


def test_classes_must_be_told_apart_by_a_kept_column(shards, tmp_path):
    records = counting(2)
    two = write(tmp_path / "two", records, kept={"x": [1, 2], "y": ["a", None]})
    options = {**QUICK, "task": "classify"}
    for given, label, error, text in (
        (shards, None, MissingColumn, r"keep 0 columns.*their owner decides which labels"),
        (two, None, MissingColumn, r"\['x', 'y'\].*--label"),
        (two, "z", MissingColumn, r"no column 'z' is kept"),
        (two, "y", InvalidConfig, "empty in 1 of 2"),
        (write(tmp_path / "one", records, kept={"x": [1, 1]}), None, InvalidConfig, "1 class; expected at least 2"),
        (write(tmp_path / "real", records, kept={"x": [1.5, 2]}), None, InvalidConfig, "integers, booleans or strings"),
    ):
        with pytest.raises(error, match=text):
            train(given, tmp_path / "run", Recipe(label=label, **options))
    own = shutil.copytree(shards, tmp_path / "of_fields") / ".manifest.json"
    own.write_text(own.read_text().replace("text/bytes", "record/columns"))
    with pytest.raises(MissingColumn, match=r"--task lm, .*ult predict RUN RECORDS --target COLUMN"):
        train(own.parent, tmp_path / "run", Recipe(**options))
    assert not list(tmp_path.glob("*run*"))


def test_shards_that_cannot_be_trained_on(shards, run, tmp_path):
    small = write(tmp_path / "small", counting(3, high=40), size=40)
    empty = write(tmp_path / "empty", [])
    for given, options, error in (
        ([shards, small], {}, WrongVocabulary),
        (small, {"from_run": run}, WrongVocabulary),
        (empty, {}, TrainingError),
        ([], {}, InvalidConfig),
        (tmp_path / "nowhere", {}, MissingSource),
        (shards, {"from_run": tmp_path}, MissingSource),
    ):
        with pytest.raises(error):
            train(given, tmp_path / "run", Recipe(**QUICK, **options))
    assert not list(tmp_path.glob("*run*"))


@pytest.mark.parametrize(
    "options",
    [
        {"model": "tinny"},
        {"task": "rank"},
        {"steps": 0},
        {"batch_size": True},
        {"context": 3},
        {"learning_rate": 0.0},
        {"schedule": "step"},
        {"warmup": -0.1},
        {"warmup": 1.5},
        {"warmup": 11},
        {"warmup": float("nan")},
        {"accumulate": 0},
        {"accumulate": 3},
        {"precision": "half"},
        {"evaluate_every": 2},
        {"evaluate_every": 0},
        {"evaluate_every": 11},
        {"patience": 1},
        {"patience": 0},
        {"report_to": "mlflow"},
        {"seed": -1},
        {"embeddings": "old"},
        {"embeddings": "keep"},
        {"label": "x"},
        {"model": "tiny", "from_run": "run"},
        {"resume": True, "force": True},
    ],
)
def test_options_out_of_range(shards, tmp_path, options):
    with pytest.raises(InvalidConfig):
        train(shards, tmp_path / "run", **arguments_of(**{**QUICK, **options}))
    assert list(tmp_path.iterdir()) == []


def test_checkpoints_that_cannot_be_used(shards, gpt2, tmp_path, monkeypatch):
    with pytest.raises(InvalidConfig, match="room for 16"):
        train(shards, tmp_path / "run", Recipe(model=str(gpt2), steps=1, context=17))
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_bytes((gpt2 / "config.json").read_bytes())
    (pickled / "pytorch_model.bin").write_bytes(b"no pickle is ever read")
    for folder in (pickled, tmp_path):
        with pytest.raises(FormatError, match=r"model\.safetensors"):
            train(shards, tmp_path / "run", Recipe(model=str(folder), **QUICK))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MissingSource, match="Hub was not reached"):
        train(shards, tmp_path / "run", Recipe(model="nobody/nothing", **QUICK))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"\[weights\]"):
        build(recipe(model=WEIGHTS), Vocabulary(SIZE), {TABLE}, [])


def test_a_loss_that_is_no_number_stops_the_training(shards, tmp_path):
    wild = Recipe(**QUICK)
    object.__setattr__(wild, "learning_rate", 1e30)  # which a recipe refuses
    with pytest.raises(TrainingError, match=r"the loss is nan at step \d+ .*a lower --learning-rate"):
        train(shards, tmp_path / "run", wild)
    assert not (tmp_path / "run").exists()


def test_weights_that_are_no_numbers_start_no_training(shards, gpt2, tmp_path):
    model = transformers.GPT2LMHeadModel.from_pretrained(gpt2)
    torch.nn.init.constant_(model.transformer.ln_f.weight, float("nan"))
    model.save_pretrained(tmp_path / "nan")
    with pytest.raises(FormatError, match=r"infinite or no number.*--learning-rate"):
        train(shards, tmp_path / "run", Recipe(model=str(tmp_path / "nan"), **QUICK))
    assert [p.name for p in tmp_path.iterdir()] == ["nan"]


def test_damaged_run_is_refused(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    tensors = weights(run)
    for damage in (
        {**tensors, "model.norm.weight": torch.ones(3)},
        {name: tensor for name, tensor in tensors.items() if name != "model.layers.1.mlp.up_proj.weight"},
    ):
        save_file(damage, tmp_path / "run" / "model.safetensors", metadata={"format": "pt"})
        for load in (lambda: load_trained(Run.open(tmp_path / "run")), lambda: load_checkpoint(tmp_path / "run")):
            with pytest.raises(FormatError):
                load()
    (tmp_path / "run" / "model.safetensors").write_bytes((run / "model.safetensors").read_bytes()[:-9])
    with pytest.raises(FormatError):
        load_trained(Run.open(tmp_path / "run"))
    for text in ("{", '{"format": "ult-run/1"}', '{"format": "ult-run/2"}'):
        (tmp_path / "metrics.json").write_text(text)
        with pytest.raises(FormatError):
            Run.open(tmp_path)
