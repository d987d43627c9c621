"""Arguments of the library: a wrong type is refused by name, in one line, before anything is read or written."""

import inspect
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ult
from ult.errors import InvalidConfig
from ult.host.arguments import checked, integer

ANY: Any = ult  # to a type checker, which would refuse these arguments too
NOTES = [f"patient {n} reports chest pain and no fever" for n in range(30)]
FUNCTIONS = {
    f"{module.__name__}.{name}": getattr(module, name)
    for module in (ult, ult.audit, ult.forget)
    for name in module.__all__
    if inspect.isfunction(getattr(module, name))
} | {
    "ult.Table.fit": ult.Table.fit,
    "ult.Table.load": ult.Table.load,
    "ult.Run.open": ult.Run.open,
    "ult.Shards": ult.Shards,
    "ult.ShardWriter": ult.ShardWriter,
    "ult.Recipe.read": ult.Recipe.read,
    "ult.Vocabulary.load": ult.Vocabulary.load,
    "ult.Vocabulary.from_text": ult.Vocabulary(512).from_text,
    "ult.audit.Audit.save": ult.audit.Audit("code", (), "").save,
}
NOT_HERE = {  # what other errors than `InvalidConfig` refuse, or what takes anything
    "ult.Table.fit": {"records"},
    "ult.train": {"options"},
}
CASES = [
    (name, one)
    for name, work in FUNCTIONS.items()
    for one in inspect.signature(work).parameters
    if one not in NOT_HERE.get(name, ())
]


@pytest.mark.parametrize(("name", "argument"), CASES)
def test_no_argument_takes_anything_at_all(name, argument, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    signature = inspect.signature(FUNCTIONS[name])
    needed = [one.name for one in signature.parameters.values() if one.default is one.empty]
    right = {"records": NOTES, "vocabulary": ult.Vocabulary(512)}
    given = {one: right.get(one, "x") for one in needed if one != "options"} | {argument: Decimal(1)}
    with pytest.raises(InvalidConfig, match=rf"^(the )?{argument} is of type Decimal; expected "):
        FUNCTIONS[name](**given)
    assert not list(tmp_path.iterdir())


def test_all_functions_are_tried():
    assert {"ult.fit", "ult.train", "ult.adopt", "ult.audit.audit_code", "ult.audit.audit_release"} <= set(FUNCTIONS)
    assert len(CASES) > 120


def test_methods_say_what_they_expected(made):
    _, fitted, encoded = made
    shards: Any = encoded.shards
    for number in ("0", -1, 99):
        with pytest.raises(InvalidConfig, match=r"^number is .*; expected that of a part, from 0 to 0$"):
            shards.part(number)
    with pytest.raises(ult.errors.CorruptSymbols, match="ids are of type int"):
        fitted.table.decode_batch(5)
    with pytest.raises(ult.errors.InvalidRecord, match="records are of type int"):
        fitted.table.encode_batch(5)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: ANY.generate("run", n="2"), "n is '2'; expected an integer"),
        (lambda: ANY.generate("run", n=1.5), "n is 1.5; expected an integer"),
        (lambda: ANY.generate("run", temperature="1"), "temperature is '1'; expected a number"),
        (lambda: ANY.generate("run", temperature=float("nan")), "temperature is nan; expected a number"),
        (lambda: ANY.generate("run", prompts=[]), "prompts is empty; expected at least one sequence of ids"),
        (lambda: ANY.evaluate("run", "s", batch_size="4"), "batch_size is '4'; expected an integer of at least 1"),
        (lambda: ANY.encode("n", "t", "s", canaries="5"), "canaries is '5'; expected an integer of at least 0"),
        (lambda: ANY.encode("n", "t", "s", canaries=True), "canaries is True; expected an integer of at least 0"),
        (lambda: ANY.encode("n", "t", "s", repeats="9"), "repeats is '9'; expected an integer of at least 1"),
        (lambda: ANY.encode("n", "t", "s", part_bytes="9"), "part_bytes is '9'; expected an integer of at least 1"),
        (lambda: ANY.encode("n", "t", "s", part_bytes=-5), "part_bytes is -5; expected an integer of at least 1"),
        (lambda: ANY.encode("n", "t", "s", workers="2"), "workers is '2'; expected an integer of at least 1"),
        (lambda: ANY.fit("n", "t", workers=0), "workers is 0; expected an integer of at least 1"),
        (lambda: ANY.fit("n", "t", epsilon="8"), "epsilon is '8'; expected a number"),
        (lambda: ANY.fit("n", "t", encrypt=None), "encrypt is None; expected True or False"),
        (lambda: ANY.fit("n", "t", column=[1]), r"column\[0\] is 1; expected the name of a column"),
        (lambda: ANY.fit("n", "t", keep=[1]), r"keep\[0\] is 1; expected the name of a column"),
        (lambda: ANY.fit("n", ""), "out is empty; expected a path"),
        (lambda: ANY.fit("n", "a\0b"), "out is a text with a zero byte; expected a path"),
        (lambda: ANY.train([], "run"), "shards is empty; expected shards"),
        (lambda: ANY.train(["s", 1], "run"), r"shards\[1\] is 1; expected shards"),
    ],
)
def test_what_was_met_and_expected_is_said(call, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidConfig, match=f"^{says}"):
        call()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["passphrase", "prompt"])
def test_no_error_quotes_a_secret_or_a_record(key):
    secret = b"correct horse"
    with pytest.raises(InvalidConfig) as caught:
        ANY.generate("run", table="t", **{key: secret})
    assert "horse" not in str(caught.value)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What `ult.fit` and `ult.encode` return, in a folder of theirs."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "notes.txt").write_text("\n".join(NOTES) + "\n")
    fitted = ult.fit(folder / "notes.txt", folder / "t.ult", encrypt=False, vocabulary_size=np.int64(400), workers=1)
    return folder, fitted, ult.encode(folder / "notes.txt", fitted, folder / "s", workers=1)


def test_a_result_is_taken_where_what_it_wrote_is_meant(made):
    folder, fitted, encoded = made
    assert encoded.table == folder / "t.ult"
    for n, shards in enumerate((encoded, encoded.shards, folder / "s", str(folder / "s"))):
        assert ult.decode(shards, fitted, folder / f"{n}.txt").records == 30
    recipe = ult.Recipe(steps=1, context=16, batch_size=2)
    run = ult.train(encoded, folder / "run", recipe, validation=[encoded.shards])
    assert run.metrics["shards"][0]["table"] == fitted.table.fingerprint
    assert ult.evaluate(run, [encoded]).records == 30
    written = ult.generate(run, table=fitted, prompts=encoded, prefix_ids=2, max_new=2)
    assert len(written.ids) == 30


def test_a_result_is_refused_where_a_path_or_another_thing_is_meant(made, tmp_path):
    _, fitted, encoded = made
    for call, says in (
        (lambda: ANY.fit(encoded, tmp_path / "t"), "inputs is of type Encoded; expected paths of files with records"),
        (lambda: ANY.fit("n", fitted), "out is of type Fitted; expected a path"),
        (lambda: ANY.encode("n", encoded, tmp_path / "s"), "table is of type Encoded; expected a table: "),
        (lambda: ANY.train(fitted, tmp_path / "run"), "shards is of type Fitted; expected shards: "),
        (lambda: ANY.evaluate(encoded, encoded), "run is of type Encoded; expected a run: "),
        (lambda: ANY.Table.load(fitted), "path is of type Fitted; expected a path"),
    ):
        with pytest.raises(InvalidConfig, match=f"^{says}"):
            call()
    assert not list(tmp_path.iterdir())


def test_a_function_with_an_unchecked_argument_is_no_function():
    with pytest.raises(TypeError, match=r"takes \['n', 'm'\], and \['n'\] are checked"):
        checked(n=integer())(lambda n, m: n)


def test_integers_of_numpy_and_paths_of_others_are_taken():
    class Elsewhere:
        def __fspath__(self):
            return "there"

    assert type(integer(1)("n", np.int64(3))) is int
    from ult.host.arguments import path

    assert path("out", Elsewhere()) == "there"
    assert path("out", Path("there")) == Path("there")
