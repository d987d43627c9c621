"""Of an untrusted run only the weights count: its generation settings are ignored, invalid runs are refused."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from leak import random_records
from toy import arguments_of, counting, labelled, reversals, two_classes, write
from ult.audit.model.ethicist import ethicist
from ult.audit.model.extraction import extract, passages
from ult.audit.model.predicted import predict_ids
from ult.errors import FormatError, InvalidConfig, TrainingError
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.datasets.collator import collate
from ult.trainer.evaluate import evaluate
from ult.trainer.generate import generate
from ult.trainer.loss import predict
from ult.trainer.models.causal import looks_ahead
from ult.trainer.models.generation import check_finite, ignored
from ult.trainer.models.load import load_trained
from ult.trainer.recipe import Recipe
from ult.trainer.train import train
from ult.trainer.translate import translate

pytestmark = pytest.mark.slow

THEIRS = {
    "sequence_bias": [[[k], -50.0] for k in range(32, 64)],
    "max_time": 1e-9,
    "bad_words_ids": [[10**9]],
    "suppress_tokens": list(range(32, 60)),
    "begin_suppress_tokens": [40],
    "forced_eos_token_id": 2,
    "forced_bos_token_id": 3,
    "num_beams": 10**6,
    "num_return_sequences": 10**6,
    "min_length": 10**6,
    "min_new_tokens": 10**6,
    "max_length": 1,
    "stop_strings": ["a"],
    "repetition_penalty": 9.0,
    "no_repeat_ngram_size": 1,
    "encoder_repetition_penalty": 9.0,
    "typical_p": 0.01,
    "epsilon_cutoff": 0.5,
    "temperature": 1e-3,
    "guidance_scale": 9.0,
    "cache_implementation": "static",
    "prompt_lookup_num_tokens": 3,
    "remove_invalid_values": True,
    "exponential_decay_length_penalty": [1, 9.0],
    "watermarking_config": {"greenlist_ratio": 0.01, "bias": 99.0},
    "return_dict_in_generate": True,
    "output_scores": True,
    "invented": 1,
}


def other(run, folder, name="generation_config.json", **changes):
    """Copy a run, with other settings."""
    shutil.copytree(run, folder)
    path = folder / name
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **changes}), encoding="utf-8")
    return folder


ALONE = ("sequence_bias", "max_time", "num_beams", "stop_strings")


@pytest.mark.parametrize("given", [*({name: THEIRS[name]} for name in ALONE), THEIRS], ids=len)
def test_their_settings_decide_nothing(audited, tmp_path, given):
    run = other(audited / "leak", tmp_path / "run", **given)
    asked = passages(Shards(audited / "members").ids(), prefix=4, suffix=6)[:3]
    assert extract(run, asked) == extract(audited / "leak", asked)
    for options in ({"temperature": 0.0}, {"seed": 3}):
        once, again = (generate(path, [[40]], n=2, max_new=5, **options) for path in (audited / "leak", run))
        assert all(np.array_equal(a, b) for a, b in zip(once, again, strict=True))
    assert ignored(run) == [f"ignored from run/generation_config.json: {', '.join(sorted(given))}"]
    assert Run.open(run).digest() == Run.open(audited / "leak").digest()


def test_nor_do_they_in_the_other_ways_to_write(audited, tmp_path):
    asked = passages(Shards(audited / "members").ids(), prefix=4, suffix=6)
    options = {"prompt": 2, "steps": 2, "samples": 4}
    run = other(audited / "leak", tmp_path / "run", **THEIRS)
    assert ethicist(run, asked[:2], asked[2:5], **options) == ethicist(
        audited / "leak", asked[:2], asked[2:5], **options
    )
    sources, targets = reversals(tmp_path, 20)
    train(sources, tmp_path / "pairs", Recipe(task="seq2seq", steps=3, batch_size=4, context=8), targets=targets)
    run = other(tmp_path / "pairs", tmp_path / "theirs", **THEIRS)
    found = [translate(path, [[40, 41], [50]], beams=2, best=2) for path in (tmp_path / "pairs", run)]
    assert [[ids.tolist() for ids in one] for one in found[0]] == [[ids.tolist() for ids in one] for one in found[1]]
    shown = [evaluate(path, sources, targets=targets, beams=2) for path in (tmp_path / "pairs", run)]
    assert {**shown[0], "run": ""} == {**shown[1], "run": ""}
    stop = {"steps": 3, "batch_size": 4, "context": 16, "stop_memorised": 0.9, "embeddings": "keep"}
    run = tmp_path / "run"
    shares = [
        train(audited / "members", tmp_path / name, Recipe(from_run=start, **stop))["memorisation"]["shares"]
        for name, start in (("a", audited / "leak"), ("b", run))
    ]
    assert shares[0] == shares[1]


def test_what_they_say_in_config_json_is_told_and_unused(audited, tmp_path):
    run = other(audited / "leak", tmp_path / "run", "config.json", num_beams=10**6, return_dict=False)
    assert ignored(run) == ["ignored from run/config.json: num_beams"]
    assert np.array_equal(generate(run, [[40]], temperature=0)[0], generate(audited / "leak", [[40]], temperature=0)[0])
    (run / "generation_config.json").write_bytes(b"\xff no JSON")
    assert len(generate(run, [[40]], temperature=0)) == 1
    assert ignored(audited / "leak") == []


def test_the_digest_binds_all_that_decides_what_is_predicted(audited, tmp_path):
    before = Run.open(audited / "leak").digest()
    changed = [
        other(audited / "leak", tmp_path / "a", "config.json", rms_norm_eps=0.5),
        other(audited / "leak", tmp_path / "b", "metrics.json", context=8),
        other(audited / "leak", tmp_path / "c", "metrics.json", modality_token=True),
    ]
    save_file({"x": torch.zeros(1)}, other(audited / "leak", tmp_path / "d") / "more.safetensors")
    digests = {before, *(Run.open(run).digest() for run in (*changed, tmp_path / "d"))}
    assert len(digests) == 5
    shutil.copytree(audited / "leak", tmp_path / "same")
    assert Run.open(tmp_path / "same").digest() == before
    (tmp_path / "same" / "config.json").unlink()
    with pytest.raises(FormatError, match=r"config\.json"):
        Run.open(tmp_path / "same").digest()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers(audited, tmp_path, value):
    run = shutil.copytree(audited / "leak", tmp_path / "run")
    weights = load_file(run / "model.safetensors")
    weights["model.norm.weight"][3] = value
    save_file(weights, run / "model.safetensors", metadata={"format": "pt"})
    for asked in (
        lambda: generate(run),
        lambda: evaluate(run, audited / "members"),
        lambda: predict_ids(Run.open(run), random_records(2, 0)),
        lambda: train(audited / "members", tmp_path / "out", Recipe(from_run=run, steps=1, batch_size=2, context=8)),
    ):
        with pytest.raises(FormatError, match=r"1 of its weights' tensors .* model\.norm\.weight"):
            asked()
    assert not (tmp_path / "out").exists()


def test_finite_weights_that_predict_no_numbers(audited, tmp_path):
    run = shutil.copytree(audited / "leak", tmp_path / "run")
    weights = load_file(run / "model.safetensors")
    weights["model.norm.weight"] *= 3e38
    save_file(weights, run / "model.safetensors", metadata={"format": "pt"})
    for asked in (
        lambda: generate(run, temperature=0),
        lambda: generate(run),
        lambda: evaluate(run, audited / "members"),
        lambda: predict_ids(Run.open(run), random_records(2, 0)),
    ):
        with pytest.raises((TrainingError, FormatError)):
            asked()
    assert check_finite(torch.tensor([[0.0, -torch.inf]])).shape == (1, 2)
    for wrong in ([0.0, torch.nan], [0.0, torch.inf], [-torch.inf, -torch.inf]):
        with pytest.raises(TrainingError, match="no numbers"):
            check_finite(torch.tensor([wrong]))


BERT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 90}
STEP = {"steps": 2, "batch_size": 4, "context": 12}


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("encoder") / "bert"
    transformers.BertForMaskedLM(transformers.BertConfig(**BERT)).save_pretrained(folder)
    return folder


def test_an_encoder_does_not_predict_what_it_sees(bert, tmp_path):
    shards = write(tmp_path / "x", counting(20))
    with pytest.raises(FormatError, match=r"is an encoder \(bert\).*--task classify"):
        train(shards, tmp_path / "run", Recipe(model=str(bert), **STEP))
    config = json.loads((bert / "config.json").read_text(encoding="utf-8"))
    assert not (tmp_path / "run").exists()
    causal = shutil.copytree(bert, tmp_path / "causal")
    (causal / "config.json").write_text(json.dumps({**config, "is_decoder": True}), encoding="utf-8")
    train(shards, tmp_path / "run", Recipe(model=str(causal), **STEP))
    made = json.loads((tmp_path / "run" / "config.json").read_text(encoding="utf-8"))
    (tmp_path / "run" / "config.json").write_text(json.dumps({**made, "is_decoder": False}), encoding="utf-8")
    for asked in (lambda: load_trained(Run.open(tmp_path / "run")),
                  lambda: train(shards, tmp_path / "on", Recipe(from_run=tmp_path / "run", **STEP))):  # fmt: skip
        with pytest.raises(FormatError, match="encoder"):
            asked()


def test_an_encoder_classifies_whatever_it_is_padded_with(bert, tmp_path):
    shards = two_classes(tmp_path / "x")
    train(shards, tmp_path / "run", Recipe(model=str(bert), task="classify", **STEP))
    model = load_trained(Run.open(tmp_path / "run"))
    assert looks_ahead(model)
    data = replace(labelled(tmp_path / "packed", shards, context=12), masked=True)
    with torch.inference_mode():
        alone = torch.cat([predict(model, collate([data[k]])) for k in range(6)])
        together = predict(model, collate([data[k] for k in range(6)]))
        unmasked = predict(model, collate([replace(data, masked=False)[k] for k in range(6)]))
    assert together == pytest.approx(alone, abs=1e-5)
    assert float((unmasked - alone).abs().max()) > 1e-4
    assert (
        evaluate(tmp_path / "run", shards, batch_size=1)["accuracy"] == evaluate(tmp_path / "run", shards)["accuracy"]
    )


@pytest.mark.parametrize(
    "config",
    [
        transformers.GPT2Config(vocab_size=64, n_embd=32, n_layer=2, n_head=4, n_positions=16),
        transformers.MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=2, state_size=8),
        transformers.LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                                 num_attention_heads=4, max_position_embeddings=2),
    ],
    ids=lambda config: config.model_type,
)  # fmt: skip
def test_causal_models_are_taken_for_what_they_are(config):
    assert not looks_ahead(transformers.AutoModelForCausalLM.from_config(config))


def test_adapters_that_do_not_fit_are_refused(tmp_path):
    config = transformers.MambaConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, state_size=8)
    transformers.MambaForCausalLM(config).save_pretrained(tmp_path / "mamba")
    shards = write(tmp_path / "x", counting(20))
    with pytest.raises(InvalidConfig, match="peft has no adapters for this mamba model"):
        train(shards, tmp_path / "run", Recipe(model=str(tmp_path / "mamba"), lora=2, **STEP))


@pytest.mark.parametrize("asked", ["transformers_weights", "quantization_config"])
def test_other_weights_than_those_that_are_bound(audited, tmp_path, asked):
    run = other(audited / "leak", tmp_path / "run", "config.json", **{asked: "other.safetensors"})
    with pytest.raises(FormatError, match=f"asks for {asked}"):
        load_trained(Run.open(run))


def test_a_decoder_that_sees_what_it_writes_is_refused(tmp_path):
    torch.manual_seed(0)
    pair = transformers.EncoderDecoderConfig.from_encoder_decoder_configs(
        *(transformers.BertConfig(**BERT) for _ in range(2))
    )
    transformers.EncoderDecoderModel(pair).save_pretrained(tmp_path / "pair")
    sources, targets = reversals(tmp_path, 12)
    options = {"targets": targets, "task": "seq2seq", "model": str(tmp_path / "pair"), **STEP}
    written = json.loads((tmp_path / "pair" / "config.json").read_text(encoding="utf-8"))
    assert written["decoder"]["is_decoder"]
    assert not looks_ahead(transformers.EncoderDecoderModel.from_pretrained(tmp_path / "pair"))
    written["decoder"]["is_decoder"] = False
    (tmp_path / "pair" / "config.json").write_text(json.dumps(written), encoding="utf-8")
    with pytest.raises(FormatError, match=r"pair (is a decoder that is none|holds no model)"):
        train(sources, tmp_path / "run", **arguments_of(**options))
    t5 = transformers.T5Config(vocab_size=64, d_model=32, d_ff=64, d_kv=8, num_heads=4, num_layers=2)
    bart = transformers.BartConfig(vocab_size=64, d_model=32, encoder_layers=1, decoder_layers=1,
                                   encoder_ffn_dim=64, decoder_ffn_dim=64, encoder_attention_heads=4,
                                   decoder_attention_heads=4, max_position_embeddings=16)  # fmt: skip
    for config in (t5, bart):
        assert not looks_ahead(transformers.AutoModelForSeq2SeqLM.from_config(config))
