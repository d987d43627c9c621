"""No verb replaces a file that a user names without --force: every option of every verb that names an output."""

from typing import Any

import pytest
import typer

import ult
from ult.cli import app
from ult.errors import OutputError, OutputExists
from ult.public.gone import Gone, Lot

ROOT: Any = typer.main.get_command(app)  # typer leaves open that it is a group
VERBS = {
    f"{name} {inner}".strip(): command if not inner else command.commands[inner]
    for name, command in ROOT.commands.items()
    for inner in getattr(command, "commands", {"": None})
}
READS = {  # options that name what a verb reads
    "passphrase_file", "table", "identity", "to", "to_passphrase_file", "audit", "new_passphrase_file", "new_identity",
    "config", "from_run", "targets", "validation", "validation_targets", "prompts", "shards", "learn", "run", "start",
    "start_table", "old_table", "members", "nonmembers", "others", "nonmember_targets", "reference_run", "code_audit",
    "model_audit", "table_audit", "schema", "bag", "ngrams", "to_model", "merges", "base", "group",
    "without", "compatible_with", "on", "old_on", "among", "retrained", "before",
    "root", "certificate", "key",
}  # fmt: skip
READ_BY = {  # which another verb writes, or nobody
    ("attach", "rows"),
    ("forget run", "rows"),
    ("forget shards", "rows"),
    ("audit forget", "rows"),
    ("audit release", "pairs"),
    ("audit synth", "canaries"),
}
WRITES = {  # verb and option -> a command that would write the file `old`
    ("keygen", "out"): "keygen -o old",
    ("dedupe", "out"): "dedupe notes.txt -o old.txt",
    ("split", "out"): "split notes.txt -o old",
    ("describe", "out"): "describe notes.csv -o old",
    ("fit", "out"): "fit notes.txt -o old --no-encryption",
    ("encode", "out"): "encode notes.txt -t t.ult -o old",
    ("encode", "coin_split"): "encode notes.txt -t t.ult -o new --coin-split old",
    ("decode", "out"): "decode s -t t.ult -o old.txt",
    ("table update", "out"): "table update t.ult notes.txt -o old --keep-ids --no-encryption",
    ("align", "out"): "align run -t t.ult --to t.ult -o old",
    ("release", "out"): "release run -o old --accept-risk none",
    ("release", "rows"): "release run -o new --accept-risk none --private-embeddings --rows old --no-encryption",
    ("synth", "out"): "synth notes.txt -o old.txt --rows 2 --no-encryption",
    ("synth", "report"): "synth notes.txt -o new.txt --rows 2 --no-encryption --report old",
    ("train", "out"): "train s -o old --steps 1",
    ("train", "write_config"): "train --write-config old",
    ("forget find", "out"): "forget find notes.txt -t t.ult --shards s -o old",
    ("forget table", "out"): "forget table t.ult --records notes.txt -o old --no-encryption",
    ("forget shards", "out"): "forget shards s --rows gone.rows -o old",
    ("forget run", "out"): "forget run run s --rows gone.rows -o old",
    ("average", "out"): "average run run2 --validation s -o old",
    ("distil", "out"): "distil run --shards s -o old --steps 1 --context 8",
    ("federate init", "out"): "federate init tiny -o old",
    ("federate simulate", "out"): "federate simulate s s -o old",
    ("federate serve", "out"): "federate serve s --owner a --owner b -o old --address 127.0.0.1:0",
    ("federate join", "out"): "federate join s s -o old --server 127.0.0.1:9 --owner a",
    ("generate", "out"): "generate run -o old",
    ("predict", "out"): "predict run notes.csv -t t.ult --target age -o old.csv",
    ("translate", "out"): "translate run s -o old",
    ("adopt", "out"): "adopt run -s s -o old",
    ("attach", "out"): "attach run -o old --learn s --steps 1",
    ("inspect", "plot"): "inspect t.ult --plot old.png",
    ("demo", "out"): "demo -o old",
    ("audit code", "out"): "audit code s --reference notes.txt --json old",
    ("audit code", "pairs"): "audit code s --reference notes.txt -t t.ult --json new --pairs old",
    ("audit model", "json"): "audit model run --members s --nonmembers s --json old",
    ("audit model", "png"): "audit model run --members s --nonmembers s --png old",
    ("audit table", "json"): "audit table t.ult --members notes.txt --nonmembers notes.txt --json old",
    ("audit table", "png"): "audit table t.ult --members notes.txt --nonmembers notes.txt --png old",
    ("audit forget", "json"): "audit forget run --rows g --shards s --nonmembers s --retrained run --json old",
    ("audit forget", "png"): "audit forget run --rows g --shards s --nonmembers s --retrained run --png old",
    ("audit mechanism", "json"): "audit mechanism --of table --trials 2 --json old",
    ("audit update", "json"): "audit update run run --on s --json old",
    ("audit release", "out"): "audit release --shards s -o old",
    ("audit synth", "json"): "audit synth notes.txt --real notes.txt --json old",
    ("audit synth", "report"): "audit synth notes.txt --real notes.txt --report old",
}
HERE = ("old", "old.txt", "old.csv", "old.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records, a table, shards and a run, and files that must stay as they are."""
    root = tmp_path_factory.mktemp("outputs")
    (root / "notes.txt").write_text("".join(f"patient {n} has no fever\n" for n in range(20)))
    fitted = ult.fit(root / "notes.txt", root / "t.ult", encrypt=False, vocabulary_size=320, workers=1)
    encoded = ult.encode(root / "notes.txt", fitted, root / "s", workers=1)
    ult.train(encoded, root / "run", ult.Recipe(steps=1, context=8, batch_size=2))
    lot = Lot(encoded.manifest.digest, 20, (3,))
    (root / "gone.rows").write_text(Gone((lot,)).to_json())
    for name in HERE:
        (root / name).write_text("precious")
    return root


def _names_a_path(kind):
    """Whether an option is of a path, or of a path or an address, of which typer knows the parser's name."""
    return "path" in f"{type(kind).__name__} {kind.name}".lower()


def test_every_option_that_names_a_file_is_known():
    """A new option is put into `WRITES`, with a command, or into `READS`."""
    found = {
        (verb, one.name)
        for verb, command in VERBS.items()
        for one in command.params
        if one.param_type_name == "option" and _names_a_path(one.type) and one.name not in READS
    }
    assert found - READ_BY == set(WRITES)
    assert found >= READ_BY


@pytest.mark.parametrize(("verb", "option"), WRITES)
def test_a_file_that_is_there_is_left_alone(verb, option, folder, monkeypatch):
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    words = WRITES[verb, option].split()
    assert words[: len(verb.split())] == verb.split()
    with pytest.raises(OutputExists, match=r"^(\S*/)?old\S* (exists already|is a file)"):
        app(words, standalone_mode=False)
    assert all((folder / name).read_text() == "precious" for name in HERE)
    assert sorted(folder.iterdir()) == before


def test_force_replaces_a_plot_and_a_wrong_suffix_is_refused_before_anything_is_said(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    with pytest.raises(OutputError, match=r"plot.jpg has suffix '.jpg'; expected .png or .svg"):
        app(["inspect", "t.ult", "--plot", "plot.jpg"], standalone_mode=False)
    assert not capsys.readouterr().out
    with pytest.raises(OutputExists) as caught:
        app(["inspect", "t.ult", "--plot", "old.png"], standalone_mode=False)
    assert caught.value.hint == "another --plot, or --force to replace it"
    (folder / "plot.png").write_text("no picture")
    app(["inspect", "t.ult", "--plot", "plot.png", "--force"], standalone_mode=False)
    assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")
    (folder / "plot.png").unlink()
