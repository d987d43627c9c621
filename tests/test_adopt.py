"""`ult adopt`: a run of a model that another trainer wrote, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers

from test_published import ult
from toy import OTHER, SIZE, counting, same, weights, write
from ult.audit.model.trained import check_trained
from ult.audit.release.facts import run_facts
from ult.audit.release.verdict import judge_body
from ult.errors import FormatError, InvalidConfig, MissingSource, OutputExists, UltError, WrongVocabulary
from ult.owner.handover.withhold import publish
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.adopt import UNKNOWN, adopt
from ult.trainer.evaluate import evaluate
from ult.trainer.generate import generate
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

LAYERS = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def llama(folder, kind=transformers.LlamaForCausalLM, *, size=SIZE, **options):
    """Save a model of random weights as a training script would."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(vocab_size=size, max_position_embeddings=64, **LAYERS, **options)
    kind(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write(tmp_path_factory.mktemp("shards") / "a", counting(40))


@pytest.fixture(scope="module")
def foreign(tmp_path_factory):
    """What a Hugging Face trainer leaves, files that are pickles among it."""
    folder = llama(tmp_path_factory.mktemp("foreign") / "their-model")
    for name in ("training_args.bin", "optimizer.pt"):
        (folder / name).write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    return folder


def test_a_run_of_the_same_weights_predicts_the_same(shards, tmp_path):
    train(shards, tmp_path / "run", Recipe(steps=3, batch_size=4, context=16))
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tmp_path / "run" / name, bare)
    metrics = adopt(bare, shards, tmp_path / "adopted", context=16).metrics
    assert same(weights(tmp_path / "adopted"), weights(tmp_path / "run"))
    assert {p.name for p in (tmp_path / "adopted").iterdir()} == {p.name for p in (tmp_path / "run").iterdir()} - {
        "loss.png"
    }
    one, other = (evaluate(tmp_path / name, shards)["bits_per_byte"] for name in ("run", "adopted"))
    assert one == other
    assert metrics["adopted"] == {"unknown": list(UNKNOWN)}
    assert not {"steps", "batch_size", "seed", "learning_rate"} & metrics.keys()


def test_an_adopted_run_works_and_nothing_is_taken_for_known(shards, foreign, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in foreign.iterdir()}
    status, out, err = ult(capsys, "adopt", foreign, "--shards", shards, "-o", tmp_path / "run")
    assert (status, "64 ids at once" in out) == (0, True)
    assert "whether records were promised privacy" in err
    run = Run.open(tmp_path / "run")
    assert run.trained_on is None
    assert dict(run.facts())["trained"] == "by another trainer, nobody can say how"
    assert dict(run.facts())["privacy"] == "unknown"
    assert run.context == 64  # the model has room for no more
    assert "another trainer wrote it" in (run.path / "README.md").read_text()
    assert len(generate(run.path, [()], n=2, max_new=4)) == 2
    assert ult(capsys, "inspect", run.path)[1].count("by another trainer; unknown: on what else it was trained") == 1
    trained = check_trained(run, [Shards(shards)], [Shards(write(tmp_path / "b", counting(9, seed=1)))])
    assert "went on from their-model, and does not say what that was trained on" in trained.notes[0]
    assert judge_body(run_facts(run)["metrics"])[0].level == "red"
    assert publish(run.path, tmp_path / "out") > 0
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["adopted"]["unknown"]
    assert {path.name: path.read_bytes() for path in foreign.iterdir()} == before
    metrics = train(shards, tmp_path / "more", Recipe(from_run=str(run.path), steps=1, batch_size=2, context=8))
    assert metrics["trained_before"] is None
    assert metrics["embeddings"] == "keep"


def bert(folder):
    config = transformers.BertConfig(vocab_size=SIZE, max_position_embeddings=64, is_decoder=False, **LAYERS)
    transformers.BertLMHeadModel(config).save_pretrained(folder)
    return folder


def pickled(folder):
    llama(folder)
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'exit 1'\ntR.")
    return folder


def adapters(folder):
    folder.mkdir()
    (folder / "adapter_config.json").write_text("{}")
    (folder / "adapter_model.safetensors").write_bytes(b"")
    return folder


def coded(folder):
    llama(folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"attn_implementation": "org/kernel"}))
    return folder


@pytest.mark.parametrize("run", [False, True])
def test_code_that_a_config_names_does_not_go_along(shards, tmp_path, run):
    """Whoever loads the run with `trust_remote_code` would run a stranger's code from the Hub, in the owner's name."""
    folder = llama(tmp_path / "their-model")
    config = json.loads((folder / "config.json").read_text())
    named = {"AutoModelForCausalLM": "org/theirs--modeling.Theirs"}
    (folder / "config.json").write_text(json.dumps(config | {"auto_map": named}))
    if run:
        train(shards, tmp_path / "run", Recipe(model=str(folder), steps=1, batch_size=2, context=8))
    else:
        adopt(folder, shards, tmp_path / "run")
    assert "org/theirs" not in (tmp_path / "run" / "config.json").read_text()


@pytest.mark.parametrize(
    ("room", "context", "said"),
    [
        (2, None, "room for 2 ids"),
        (-5, None, "room for -5"),
        (64, 16.5, "context is 16.5"),
        (64, "16", "context is '16'"),
    ],
)
def test_a_context_that_no_run_has_is_refused_before_anything_is_replaced(
    shards, foreign, tmp_path, room, context, said
):
    before = adopt(foreign, shards, tmp_path / "run").metrics
    folder = tmp_path / "their-model"
    shutil.copytree(foreign, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": room}))
    with pytest.raises(InvalidConfig, match=said):
        adopt(folder, shards, tmp_path / "run", context=context, force=True)
    assert Run.open(tmp_path / "run").metrics == before


def outputs(folder):
    (folder / "checkpoint-20").mkdir(parents=True)
    (folder / "checkpoint-100").mkdir()
    return folder


def configured(**options):
    """Return what saves a model, and then says something else of it in `config.json`."""

    def make(folder):
        config = llama(folder) / "config.json"
        config.write_text(json.dumps(json.loads(config.read_text()) | options))
        return folder

    return make


def altered(change):
    """Return what saves a model, and then changes its weights by name."""

    def make(folder):
        path = llama(folder) / "model.safetensors"
        safetensors.torch.save_file(change(safetensors.torch.load_file(path)), path, metadata={"format": "pt"})
        return folder

    return make


def twice(folder):
    (llama(folder) / "model.safetensors.index.json").write_text('{"weight_map": {}}')
    return folder


REFUSED = [
    (configured(tie_word_embeddings=True), FormatError, "tie_word_embeddings is true .* head of their own, lm_head"),
    (configured(num_hidden_layers=0), FormatError, "9 weights that its config.json has no place for, model.layers.0"),
    (configured(vocab_size=SIZE - 1), FormatError, r"is of shape \(64, 32\), and \(63, 32\) by config.json"),
    (configured(intermediate_size=16), FormatError, r"is of shape .*, and .* by config.json"),
    (altered(lambda held: held | {"lm_head.bias": torch.zeros(SIZE)}), FormatError, "1 weights .* lm_head.bias"),
    (
        altered(lambda held: {name: (weight * 100).to(torch.int8) for name, weight in held.items()}),
        FormatError,
        "is of type I8; expected floats",
    ),
    (twice, FormatError, "of which one would be passed over"),
    (lambda folder: llama(folder, size=SIZE + 1), WrongVocabulary, "65 embedding rows; the shards' vocabulary is 64"),
    (lambda folder: llama(folder, transformers.LlamaModel), FormatError, "lacks 1 weights of its LlamaForCausalLM"),
    (bert, FormatError, "rests on the ids after it"),
    (pickled, FormatError, "a pickle, pytorch_model.bin"),
    (adapters, FormatError, "adapters to another model"),
    (coded, FormatError, "does not have itself"),
    (outputs, MissingSource, "holds no config.json"),
    (lambda folder: folder, MissingSource, "is no folder"),
]


@pytest.mark.parametrize(("make", "error", "said"), REFUSED)
def test_what_is_no_whole_causal_model_of_this_vocabulary_is_refused(shards, tmp_path, make, error, said):
    model = make(tmp_path / "m")
    with pytest.raises(error, match=said) as caught:
        adopt(model, shards, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert not list(tmp_path.glob(".*"))
    if make is outputs:
        assert caught.value.hint == f"ult adopt {model / 'checkpoint-100'}"


def test_tied_rows_are_taken_whether_they_are_saved_once_or_twice(shards, tmp_path):
    folder = llama(tmp_path / "m", tie_word_embeddings=True)
    held = safetensors.torch.load_file(folder / "model.safetensors")
    rows = held["model.embed_tokens.weight"]
    assert adopt(folder, shards, tmp_path / "once").metrics["parameters"] > 0
    for name, saved in (("twice", held), ("halved", {name: weight.bfloat16() for name, weight in held.items()})):
        saved = saved | {"lm_head.weight": saved["model.embed_tokens.weight"].clone()}
        safetensors.torch.save_file(saved, folder / "model.safetensors", metadata={"format": "pt"})
        adopt(folder, shards, tmp_path / name)
    assert rows.shape == (SIZE, 32)


def test_a_run_is_not_adopted_and_what_is_there_is_kept(shards, foreign, tmp_path):
    adopt(foreign, shards, tmp_path / "run")
    with pytest.raises(InvalidConfig, match="is a run already"):
        adopt(tmp_path / "run", shards, tmp_path / "again")
    with pytest.raises(OutputExists, match="--force"):
        adopt(foreign, shards, tmp_path / "run")
    adopt(foreign, shards, tmp_path / "run", context=8, force=True)
    assert Run.open(tmp_path / "run").context == 8
    for context in (3, 65):
        with pytest.raises(InvalidConfig, match=f"context is {context}"):
            adopt(foreign, shards, tmp_path / "again", context=context)


def test_shards_that_do_not_go_together_or_are_damaged_are_refused(shards, foreign, tmp_path):
    other = write(tmp_path / "other", counting(5), table=OTHER)
    with pytest.raises(InvalidConfig, match="of 2 tables"):
        adopt(foreign, [shards, other], tmp_path / "run")
    part = other / "part-00000.parquet"
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    with pytest.raises(UltError, match="damaged"):
        adopt(foreign, other, tmp_path / "run")
    with pytest.raises(WrongVocabulary):
        adopt(foreign, [shards, write(tmp_path / "c", counting(3), size=99)], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_weights_that_are_no_numbers_are_refused(shards, foreign, tmp_path):
    model = transformers.LlamaForCausalLM.from_pretrained(foreign)
    with torch.no_grad():
        model.lm_head.weight[3, 3] = np.nan
    model.save_pretrained(tmp_path / "m")
    with pytest.raises(FormatError, match="infinite or no number"):
        adopt(tmp_path / "m", shards, tmp_path / "run")
