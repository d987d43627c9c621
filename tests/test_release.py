"""`ult release --private-embeddings` and `ult attach`: a run without its embedding rows, and with them again."""

import shutil
from dataclasses import replace

import pytest
import torch
import transformers
from safetensors.torch import load, save, save_file

import ult
from toy import OTHER, SIZE, counting, reversals, same, two_classes, weights, write
from trained import PLAIN
from ult.errors import FormatError, InvalidConfig, MissingSource, OutputExists, WrongKey, WrongTable
from ult.owner import keyfile
from ult.owner.handover.align import align
from ult.owner.handover.withhold import attach, withhold
from ult.public.run import Run
from ult.public.vocabulary import Vocabulary
from ult.trainer.evaluate import evaluate
from ult.trainer.models.build import build
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

TEXT, PUBLIC = keyfile.keygen()
LOCK, KEY = {"recipients": [PUBLIC]}, {"identities": TEXT.split()[-1:]}  # a passphrase takes 0.6 s each time


@pytest.fixture(scope="module")
def released(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("released")
    told = withhold(run, folder / "body", folder / "rows.age", **LOCK)
    return folder / "body", folder / "rows.age", told


def untied(folder):
    """A checkpoint whose output rows are its own."""
    config = transformers.LlamaConfig(
        vocab_size=SIZE, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=False,
    )  # fmt: skip
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def test_the_body_holds_every_weight_but_the_rows(run, released):
    body, rows, told = released
    whole, kept = weights(run), weights(body)
    assert set(whole) - set(kept) == {"model.embed_tokens.weight"}
    assert all(torch.equal(kept[name], whole[name]) for name in kept)
    assert told == {"body": sum(w.numel() for w in kept.values()), "rows": SIZE * 128}
    assert {path.name for path in body.iterdir()} == {path.name for path in run.iterdir()}
    needle = whole["model.embed_tokens.weight"][40].numpy().tobytes()
    assert all(needle not in path.read_bytes() for path in [*body.iterdir(), rows])
    assert needle in (run / "model.safetensors").read_bytes()
    assert rows.stat().st_mode & 0o777 == 0o600
    given = Run.open(body).metrics
    assert not {"seed", "initial_digest"} & {*given, *given["recipe"]}, "they tell the first rows"


def test_the_owner_puts_the_rows_back(run, released, tmp_path):
    body, rows, _ = released
    attach(body, tmp_path / "back", rows, **KEY)
    assert same(weights(tmp_path / "back"), weights(run))
    assert not Run.open(tmp_path / "back").withheld


@pytest.mark.parametrize("task", ["classify", "seq2seq", "untied"])
def test_every_kind_of_run_comes_back(task, tmp_path):
    if task == "classify":
        train(two_classes(tmp_path / "shards"), tmp_path / "run", Recipe(task=task, **PLAIN))
    elif task == "seq2seq":
        sources, targets = reversals(tmp_path, 16)
        train(sources, tmp_path / "run", Recipe(task=task, **PLAIN), targets=targets)
    else:
        train(
            write(tmp_path / "shards", counting(16)),
            tmp_path / "run",
            Recipe(model=str(untied(tmp_path / "m")), **PLAIN),
        )
    withhold(tmp_path / "run", tmp_path / "body", tmp_path / "rows", encrypt=False)
    whole, kept = weights(tmp_path / "run"), weights(tmp_path / "body")
    gone = {name for name in whole if SIZE in whole[name].shape}
    assert gone == set(whole) - set(kept) != set()
    attach(tmp_path / "body", tmp_path / "back", tmp_path / "rows")
    assert same(weights(tmp_path / "back"), whole)


def drawn_again(recipe):
    """The embedding rows that a training by this recipe would begin with."""
    transformers.set_seed(recipe.seed)
    return build(recipe, Vocabulary(SIZE), set(), [])[0].model.embed_tokens.weight.detach()


def fitting(body, run, rows, test, out):
    """Bits per byte of a body with some rows, put together as a receiver would."""
    shutil.copytree(run, out)
    save_file(
        {**weights(body), "model.embed_tokens.weight": rows}, out / "model.safetensors", metadata={"format": "pt"}
    )
    return evaluate(out, test)["bits_per_byte"]


@pytest.mark.parametrize("secret", [False, True])
def test_a_body_works_with_the_rows_that_its_seed_draws_unless_they_were_secret(secret, tmp_path):
    """What the red verdict on a body by a seed that is soon guessed is about."""
    shards, test = write(tmp_path / "shards", counting(64)), write(tmp_path / "test", counting(32, seed=9))
    recipe = Recipe(steps=60, batch_size=8, context=16, secret_rows=secret)
    metrics = train(shards, tmp_path / "run", recipe)
    withhold(tmp_path / "run", tmp_path / "body", tmp_path / "rows", encrypt=False)
    seeded = replace(recipe, secret_rows=False)
    bits = {"its own": evaluate(tmp_path / "run", test)["bits_per_byte"]}
    for name, one in (("the seed's", seeded), ("another's", replace(seeded, seed=1))):
        bits[name] = fitting(tmp_path / "body", tmp_path / "run", drawn_again(one), test, tmp_path / name)
    gained = (bits["another's"] - bits["the seed's"]) / (bits["another's"] - bits["its own"])
    assert (gained < 0.2) if secret else (gained > 0.5), bits
    audit = ult.audit.audit_release(tmp_path / "audit", run=tmp_path / "run", private_embeddings=True).document
    assert audit["verdict"] == ("amber" if secret else "red")
    assert ("initial_digest" in metrics) != secret
    if not secret:
        assert "ult train --secret-rows" in str(audit["findings"])


def test_secret_rows_are_refused_where_none_are_drawn(run, shards, tmp_path):
    for options, said in (
        ({"from_run": run}, "the rows of .* are kept"),
        ({"model": "ngrams"}, "secret_rows was given for model ngrams"),
        ({"model": "bag", "task": "classify"}, "secret_rows was given for model bag"),
    ):
        with pytest.raises(InvalidConfig, match=said):
            train(shards, tmp_path / "out", Recipe(**{**PLAIN, **options}, secret_rows=True))
    train(shards, tmp_path / "fresh", Recipe(from_run=run, embeddings="fresh", secret_rows=True, **PLAIN))
    assert list(tmp_path.iterdir()) == [tmp_path / "fresh"]


def test_a_receiver_learns_rows_of_its_own(released, run, tmp_path):
    body, _, _ = released
    mine = write(tmp_path / "mine", counting(64, seed=1), table=OTHER)
    train(mine, tmp_path / "new", Recipe(from_run=body, freeze_body=6, **PLAIN))
    new, old = weights(tmp_path / "new"), weights(run)
    moved = {name for name in old if not torch.equal(new[name], old[name])}
    assert moved == {"model.embed_tokens.weight"}
    assert not torch.isclose(new["model.embed_tokens.weight"], old["model.embed_tokens.weight"]).all(1).any()
    assert evaluate(tmp_path / "new", mine)["bits_per_byte"] > 0


def test_rows_of_the_same_table_are_not_to_be_had_from_a_body(released, shards, tmp_path):
    body, _, _ = released
    metrics = train(shards, tmp_path / "new", Recipe(from_run=body, **PLAIN))
    assert metrics["embeddings"] == "fresh"
    with pytest.raises(InvalidConfig, match="no rows to keep"):
        train(shards, tmp_path / "kept", Recipe(from_run=body, embeddings="keep", **PLAIN))


def test_a_body_cannot_be_used_as_a_run(released, shards, run, tmp_path):
    body, _, _ = released
    with pytest.raises(InvalidConfig, match="stayed with its owner"):
        evaluate(body, shards)
    with pytest.raises(InvalidConfig, match="stayed with its owner"):
        withhold(body, tmp_path / "again", tmp_path / "rows", **LOCK)
    with pytest.raises(InvalidConfig, match="has its rows"):
        attach(run, tmp_path / "out", released[1], **KEY)
    assert list(tmp_path.iterdir()) == []


def test_rows_of_another_body_are_refused(released, shards, tmp_path):
    _, rows, _ = released
    train(shards, tmp_path / "run", Recipe(seed=1, **PLAIN))
    withhold(tmp_path / "run", tmp_path / "body", tmp_path / "rows.age", **LOCK)
    with pytest.raises(WrongTable, match="another run"):
        attach(tmp_path / "body", tmp_path / "out", rows, **KEY)
    with pytest.raises(WrongKey):
        attach(tmp_path / "body", tmp_path / "out", tmp_path / "rows.age", identities=keyfile.keygen()[0].split()[-1:])
    with pytest.raises(MissingSource):
        attach(tmp_path / "body", tmp_path / "out", tmp_path / "nothing.age", **KEY)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("payload", "error", "said"),
    [
        (b"", FormatError, "holds no rows of a run"),
        (b"x" * 100, FormatError, "holds no rows of a run"),
        (save({"a": torch.zeros(2)}), FormatError, "holds no rows of a run"),
        (save({"ult-rows/1": torch.zeros(32, dtype=torch.uint8)}), WrongTable, "were taken from another run"),
    ],
    ids=["empty", "no tensors", "other tensors", "another body"],
)
def test_a_file_that_holds_no_rows_is_refused(released, payload, error, said, tmp_path):
    (tmp_path / "rows").write_bytes(payload)
    with pytest.raises(error, match=said):
        attach(released[0], tmp_path / "out", tmp_path / "rows")
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]


def test_rows_of_another_shape_are_refused(released, tmp_path):
    held = load(keyfile.read(released[1], **KEY))
    (tmp_path / "rows").write_bytes(save(held | {"input": torch.zeros(2, 128)}))
    with pytest.raises(FormatError, match="are not of the shape that"):
        attach(released[0], tmp_path / "out", tmp_path / "rows")
    assert not (tmp_path / "out").exists()


def test_nothing_is_replaced_unasked(run, released, tmp_path):
    body, rows, _ = released
    (tmp_path / "rows.age").write_bytes(b"")
    with pytest.raises(OutputExists):
        withhold(run, tmp_path / "body", tmp_path / "rows.age", **LOCK)
    with pytest.raises(OutputExists):
        withhold(run, body, tmp_path / "new.age", **LOCK)
    with pytest.raises(OutputExists):
        attach(body, run, rows, **KEY)
    with pytest.raises(InvalidConfig, match="exactly one way"):
        withhold(run, tmp_path / "body", tmp_path / "new.age")
    assert {path.name for path in tmp_path.iterdir()} == {"rows.age"}


def test_a_body_is_not_aligned(released, tmp_path):
    from ult.owner.table import Table

    table = Table.fit(["a cat"], vocabulary=Vocabulary(320), min_records=1)
    with pytest.raises(WrongTable):
        align(released[0], table, table, tmp_path / "out")
