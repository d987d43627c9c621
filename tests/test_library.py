"""The library: what the command line does, from Python; the same files, byte for byte, and nothing silently changed."""

import inspect
import json
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ult
from ult.cli import app
from ult.errors import InvalidConfig, NoPhrases, ValuesClipped, WrongKey

pytestmark = pytest.mark.usefixtures("cheap_passphrases")

VOCABULARY = ult.Vocabulary(512)
NOTES = [f"patient {n} reports chest pain and no fever" for n in range(30)]
SMALL = {"steps": 2, "context": 16, "batch_size": 2}

# ---- safe by default


def test_a_phrase_needs_five_records_unless_said():
    """`Table.fit` has the default of `ult fit`: what four records share is no phrase."""
    table = ult.Table.fit([*NOTES, *["zebra crossing"] * 9, *(f"axolotl {n}" for n in range(4))], vocabulary=VOCABULARY)
    assert table.min_records == 5
    spelt = {bytes(symbols.astype(np.uint8)) for symbols in table.spellings()}
    assert any(b"pain" in phrase for phrase in spelt)
    assert not any(b"zeb" in phrase or b"axo" in phrase for phrase in spelt)


def test_a_table_without_phrases_says_so_unless_that_was_asked_for():
    with pytest.warns(NoPhrases, match="held by 5 distinct records") as caught:
        table = ult.Table.fit(NOTES[:4], vocabulary=VOCABULARY)
    assert caught[0].filename == __file__
    assert table.phrases == 0
    assert table.decode(table.encode(NOTES[9])) == NOTES[9]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ult.Table.fit(NOTES[:4], vocabulary=VOCABULARY, min_records=5).phrases == 0
        assert ult.Table.fit(NOTES[:4], vocabulary=VOCABULARY, min_records=1).phrases > 0


def test_clipped_values_are_counted_once_a_call():
    codec = ult.CODECS["series/mulaw"](low=-1.0, high=1.0)
    series = [np.sin(np.arange(50) + k) for k in range(40)]
    table = ult.Table.fit(series, codec=codec, vocabulary=VOCABULARY)
    beyond = [np.array([0.5, 3.0, np.nan, -7.0]), *series, np.array([2.0])]
    for call in (table.encode_batch, table.encode_ragged):
        with pytest.warns(ValuesClipped, match=r"^3 of 2,005 values lie outside") as caught:
            call(beyond)
        assert len(caught) == 1
        assert caught[0].filename == __file__
    with pytest.warns(ValuesClipped, match=r"^2 of 4 values"):
        table.encode(beyond[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table.encode_batch(series)
        table.encode_ragged(beyond, warn=False)


# ---- what results show


def test_a_table_shows_figures_and_no_phrase():
    table = ult.Table.fit(NOTES, vocabulary=VOCABULARY)
    for text in (repr(table), table._repr_html_()):
        assert table.fingerprint in text
        assert "pain" not in text
    assert "<th>codec</th><td>text/bytes</td>" in table._repr_html_()


# ---- the same as the commands


def command(*line: object) -> None:
    """Run a command of `ult` in this process."""
    app([str(word) for word in line], standalone_mode=False)


def contents(path: Path) -> dict[str, bytes]:
    """What a file holds, or every file of a folder."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in files if one.is_file()}


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """Stand in a folder with `notes.csv`, whose columns are `label` and `text`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ult.owner.keyfile._WORK", 1)  # a busy machine need not encrypt again, at greater cost
    rows = "".join(f"{'AB'[k % 2]},{note}\n" for k, note in enumerate(NOTES))
    Path("notes.csv").write_text("label,text\n" + rows)
    return tmp_path


def test_the_owner_s_half_writes_what_the_commands_write(notes):
    told = []
    told_of = {"column": "text", "keep": "label", "workers": 1, "progress": lambda *what: told.append(what)}
    fitted = ult.fit("notes.csv", "t.ult", encrypt=False, vocabulary_size=400, **told_of)
    assert (fitted.table.records, fitted.table.min_records, fitted.encrypted) == (30, 5, False)
    encoded = ult.encode(Path("notes.csv"), "t.ult", "s", **told_of)
    assert encoded.manifest.rows == encoded.shards.to_arrow().num_rows == 30
    decoded = ult.decode(encoded.shards, fitted.table, "back.csv", progress=told_of["progress"])
    assert (decoded.records, decoded.nothing) == (30, 0)
    assert {stage for stage, _ in told} == {"fitting", "encoding", "decoding"}
    options = ["-c", "text", "-k", "label", "-w", 1]
    command("fit", "notes.csv", "-o", "t2.ult", "--no-encryption", "--vocabulary-size", 400, *options)
    command("encode", "notes.csv", "-t", "t2.ult", "-o", "s2", *options)
    command("decode", "s2", "-t", "t2.ult", "-o", "back2.csv")
    for ours, theirs in (("t.ult", "t2.ult"), ("s", "s2"), ("back.csv", "back2.csv")):
        assert contents(notes / ours) == contents(notes / theirs)


def test_a_coin_splits_as_the_command_does(notes):
    fitted = ult.fit("notes.csv", "t.ult", encrypt=False, vocabulary_size=400, column="text", workers=1)
    encoded = ult.encode("notes.csv", fitted.table, "in", column="text", canaries=2, coin_split="out", workers=1)
    assert encoded.nonmembers.manifest.rows + encoded.manifest.rows == 30 + 20
    assert [remark for remark in encoded.remarks() if "2 canaries planted among the members alone" in remark]
    options = ["-c", "text", "--canaries", 2, "--coin-split", "out2", "-w", 1]
    command("encode", "notes.csv", "-t", "t.ult", "-o", "in2", *options)
    assert contents(notes / "in") == contents(notes / "in2")
    assert contents(notes / "out") == contents(notes / "out2")


def test_a_passphrase_is_asked_for_once_the_rest_is_right(notes):
    asked = []

    def ask():
        asked.append(1)
        return "three random words"

    with pytest.raises(ult.errors.MissingColumn):
        ult.fit("notes.csv", "t.ult", column="nothing", passphrase="x", workers=1)
    with pytest.raises(ult.errors.InvalidConfig, match="min_records"):
        ult.fit("notes.csv", "t.ult", column="text", passphrase=ask, epsilon=1.0, min_records=3)
    assert not asked
    ult.fit("notes.csv", "t.ult", column="text", passphrase=ask, workers=1)
    assert Path("t.ult").stat().st_mode & 0o777 == 0o600
    table = ult.Table.load("t.ult", passphrase=ask)
    assert asked == [1, 1]
    with pytest.raises(WrongKey):
        ult.encode("notes.csv", "t.ult", "s", column="text", passphrase=lambda: "another")
    assert not Path("s").exists()
    table.save("plain.ult", encrypt=False)
    assert ult.Table.load("plain.ult", passphrase=ask).fingerprint == table.fingerprint
    assert asked == [1, 1]


def test_an_identity_may_be_a_file(notes):
    command("keygen", "-o", "key")
    public = next(line for line in Path("key").read_text().splitlines() if "age1" in line).split()[-1]
    ult.fit("notes.csv", "t.ult", column="text", recipients=public, workers=1)
    encoded = ult.encode("notes.csv", "t.ult", "s", column="text", identities=[Path("key")], workers=1)
    assert encoded.manifest.table == ult.Table.load("t.ult", identities=[Path("key")]).fingerprint


def test_results_show_figures_and_nothing_of_a_record(notes):
    fitted = ult.fit("notes.csv", "t.ult", column="text", passphrase="correct horse", vocabulary_size=400, workers=1)
    encoded = ult.encode("notes.csv", fitted.table, "s", column="text", workers=1)
    decoded = ult.decode("s", fitted.table, "back.csv")
    for result, figure in ((fitted, "30 records"), (encoded, "30"), (decoded, "30")):
        for text in (repr(result), result._repr_html_()):
            assert figure in text
            assert not [word for word in ("pain", "patient", "correct", "horse") if word in text]
        assert len(repr(result)) < 200
        with pytest.raises(AttributeError):
            result.path = Path("elsewhere")  # type: ignore[misc]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a table, shards of it and a run on those, all made by the library; and what it returned."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "notes.txt").write_text("\n".join(NOTES) + "\n")
    fitted = ult.fit(folder / "notes.txt", folder / "t.ult", encrypt=False, vocabulary_size=320, workers=1)
    ult.encode(folder / "notes.txt", fitted.table, folder / "s", workers=1)
    return folder, fitted.table, ult.train(folder / "s", folder / "run", ult.Recipe(**SMALL))


def test_the_trainer_s_half_writes_what_the_commands_write(trained, monkeypatch, capsys):
    folder, table, run = trained
    monkeypatch.chdir(folder)
    options = [part for name, value in SMALL.items() for part in (f"--{name.replace('_', '-')}", value)]
    command("train", "s", "-o", "run2", *options)
    assert contents(folder / "run")["model.safetensors"] == contents(folder / "run2")["model.safetensors"]
    assert isinstance(run, ult.Run)
    assert run.metrics["steps"] == SMALL["steps"]
    found = ult.evaluate(run, "s")
    capsys.readouterr()
    command("evaluate", "run", "s", "--json")
    assert json.loads(capsys.readouterr().out) == json.loads(found.to_json())
    low, value, high = (getattr(found.bits_per_byte, name) for name in ("low", "value", "high"))
    assert low < value < high
    assert (found.records, found.table_seen, found.accuracy) == (30, True, None)
    told = []

    def count(stage, more):
        told.append((stage, more))

    for out, given in (("w", ()), ("w.txt", ("-t", "t.ult"))):
        written = ult.generate(run, out, n=2, max_new=6, table=table if given else None, progress=count)
        command("generate", "run", "-o", f"2{out}", "-n", 2, "--max-new", 6, *given)
        assert contents(folder / out) == contents(folder / f"2{out}")
        assert len(written.ids) == 2
    assert {stage for stage, _ in told} == {"generating"}
    assert sum(records for _, records in told) == 4
    again = ult.generate(run, n=2, max_new=6, table=table)
    assert again.records == written.records
    assert all(map(np.array_equal, again.ids, written.ids))
    begun = ult.generate(run, prompts=[table.encode("patient")], max_new=4).ids
    assert np.array_equal(begun[0][: len(table.encode("patient"))], table.encode("patient"))


def test_what_a_trainer_holds_shows_figures_and_no_record(trained):
    folder, table, run = trained
    written = ult.generate(run, n=1, table=table, max_new=8)
    shown = [run, ult.Shards(folder / "s"), ult.evaluate(run, folder / "s"), written]
    for one in shown:
        assert len(repr(one)) < 200
        for text in (repr(one), one._repr_html_()):
            assert not [word for word in ("pain", "patient", "<script") if word in text]
    assert written.records is not None
    assert written.records[0][:4] not in repr(written) + written._repr_html_()


def test_names_in_tables_of_html_are_escaped(tmp_path):
    (tmp_path / "<b>.csv").write_text("text,<i>\n" + "".join(f"{note},1\n" for note in NOTES))
    fitted = ult.fit(tmp_path / "<b>.csv", tmp_path / "<b>.ult", column="text", keep=["<i>"], encrypt=False, workers=1)
    encoded = ult.encode(tmp_path / "<b>.csv", fitted.table, tmp_path / "<u>", column="text", keep=["<i>"], workers=1)
    for text in (fitted._repr_html_(), encoded._repr_html_(), encoded.shards._repr_html_()):
        assert not [tag for tag in ("<b>", "<i>", "<u>") if tag in text]
        assert "&lt;" in text


# ---- audits


def test_audits_find_what_the_commands_find(trained, monkeypatch):
    folder, table, _ = trained
    monkeypatch.chdir(folder)
    Path("others.txt").write_text("".join(f"visitor {n} asks for the ward\n" for n in range(30)))
    found = {
        "code": ult.audit.audit_code("s", reference="others.txt", table=table),
        "table": ult.audit.audit_table(table, "notes.txt", "others.txt"),
        "mechanism": ult.audit.audit_mechanism(["table"], trials=2),
    }
    for name, audit in found.items():
        audit.save(f"{name}.json")
    command("audit", "code", "s", "--reference", "others.txt", "-t", "t.ult", "--json", "code2.json")
    command("audit", "table", "t.ult", "--members", "notes.txt", "--nonmembers", "others.txt", "--json", "table2.json")
    for name in ("code", "table"):
        assert Path(f"{name}.json").read_bytes() == Path(f"{name}2.json").read_bytes()
        assert found[name].document["seal"]
    assert found["mechanism"].document["refuted"] is False
    released = ult.audit.audit_release("page", shards="s", code_audit="code.json")
    command("audit", "release", "-o", "page2", "--shards", "s", "--code-audit", "code.json")
    assert contents(folder / "page") == contents(folder / "page2")
    verdict = released.document["verdict"]
    assert isinstance(verdict, str)
    assert verdict in repr(released)
    for audit in (*found.values(), released):
        assert len(repr(audit)) < 300
        for text in (repr(audit), audit._repr_html_()):
            assert not [word for word in ("pain", "patient", "visitor") if word in text]
    with pytest.raises(ult.errors.OutputExists):
        found["code"].save("code.json")


# ---- the shape of the library

UNTYPED = re.compile(r"\b(dict|Mapping)\[str, (Any|object)\]")
DOCUMENTS = {  # JSON documents, whose fields a test of formats or `docs/format.md` lists
    "Codec.config": "the options that make a codec again, as a table's file holds them",
    "Audit.document": "what an audit's file holds",
    "Audit.made": "the same, from inside",
    "Recipe.options_in": "the options in a file, before they are checked",
    "Recipe.from_metrics": "the options in a document, before they are checked",
    "Recipe.shaping": "what a working folder remembers of a recipe",
    "Evaluation.of": "what an evaluation says as JSON, from inside",
    "TableUpdate.to_json": "what changed, as JSON",
}


def public_functions():
    """Every function that `ult.__all__` reaches, by name: functions, methods of classes, and of what they return."""
    seen: dict[str, object] = {}
    waiting = [(name, getattr(ult, name)) for name in ult.__all__ if name != "errors"]
    while waiting:
        name, one = waiting.pop()
        if name in seen:
            continue
        if inspect.ismodule(one):
            waiting += [(f"{name}.{inner}", getattr(one, inner)) for inner in one.__all__]
        elif inspect.isclass(one) and one.__module__.startswith("ult."):
            seen[name] = one
            for inner, value in inspect.getmembers(one):
                method = value.fget if isinstance(value, property) else value
                if inspect.isroutine(method) and (not inner.startswith("_") or inner == "__init__"):
                    waiting.append((f"{name}.{inner}", method))
        elif inspect.isfunction(one) or inspect.ismethod(one):
            seen[name] = one
            result = inspect.unwrap(one).__globals__.get(str(inspect.signature(one).return_annotation))
            if inspect.isclass(result) and result.__module__.startswith("ult."):
                waiting.append((result.__name__, result))
    return seen


def test_public_functions_say_what_they_take_and_return():
    found = public_functions()
    expected = {"fit", "Fitted.facts", "Table.encode", "Encoded", "Evaluation", "audit.audit_model", "Audit.save"}
    assert expected | set(DOCUMENTS) <= set(found)
    for name, one in found.items():
        assert inspect.getdoc(one) or name.endswith(".__init__"), name
        if inspect.isclass(one) or name.removeprefix("audit.") in DOCUMENTS:
            continue
        signature = inspect.signature(one)
        told = [signature.return_annotation, *(each.annotation for each in signature.parameters.values())]
        assert not [text for text in map(str, told) if UNTYPED.search(text)], f"{name}{signature}"


def test_the_rule_on_signatures_would_see_a_breach():
    def breach(options: dict[str, object]) -> None: ...

    assert UNTYPED.search(str(inspect.signature(breach)))
    assert UNTYPED.search("tuple[dict[str, Any], int]")
    assert not UNTYPED.search("dict[str, str]")
    assert not UNTYPED.search("Mapping[str, float]")


@pytest.mark.parametrize("name", [name for name in ult.__all__ if inspect.isfunction(getattr(ult, name))])
def test_each_function_has_an_example_and_names_its_errors(name):
    doc = inspect.getdoc(getattr(ult, name)) or ""
    assert "Raises `" in doc
    assert f"ult.{name}(" in doc


def test_the_examples_run_in_order(notes):
    """The examples of the docstrings, from `ult.fit` on, are one session in a notebook."""
    session: dict[str, Any] = {"ult": ult, "getpass": lambda: "three random words"}
    for name in ("fit", "encode", "decode", "train", "evaluate", "generate"):
        _, _, below = inspect.getdoc(getattr(ult, name)).partition("For example")
        code = "\n".join(line.strip() for line in below.splitlines()[1:])
        if name == "evaluate":
            code = code.replace("held-out.shards", "notes.shards")
        exec(code, session)  # noqa: S102  of our own docstrings
    assert session["fitted"].table.min_records == 5
    assert session["evaluation"].bits_per_byte.value > 0
    assert session["written"].decoded.asked == 3


# ---- what is no path, no key and no recipe


@pytest.mark.parametrize("inputs", [None, b"notes.csv", {"text": NOTES}, {"notes.csv"}, [NOTES], 5])
def test_what_is_no_path_is_refused_in_words(inputs, tmp_path):
    """So is a table of pandas, whose columns, or records, would be taken for names of files."""
    with pytest.raises(InvalidConfig, match=r"^inputs(\[0\])? is .*; expected paths of files"):
        ult.fit(inputs, tmp_path / "t.ult", encrypt=False)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", [b"words", Path("words.txt"), lambda: b"words", re])
def test_a_passphrase_is_a_text(key, tmp_path):
    with pytest.raises(InvalidConfig, match=r"passphrase is of type \w+; expected a text"):
        ult.fit("notes.txt", tmp_path / "t.ult", passphrase=key)
    with pytest.raises(InvalidConfig, match=r"recipients\[0\] is of type"):
        ult.fit("notes.txt", tmp_path / "t.ult", recipients=[Path("hospital.pub")])  # type: ignore[list-item]


@pytest.mark.parametrize("recipe", [SMALL, "recipe.yaml", {}])
def test_a_recipe_is_no_dict(recipe, tmp_path):
    with pytest.raises(InvalidConfig, match=r"recipe is .*; expected ult\.Recipe"):
        ult.train("shards", tmp_path / "run", recipe)
