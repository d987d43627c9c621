"""The scripts in `examples/` run offline, on shards that they make themselves, and end in a run that works."""

import importlib
import sys
from pathlib import Path

import pytest

import ult
from ult.trainer.evaluate import evaluate
from ult.trainer.generate import generate

EXAMPLES = Path(__file__).parent.parent / "examples"
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py") if path.stem != "tiny")
UNIFORM = 9.0  # bits an id of a vocabulary of 512 costs whoever knows nothing


@pytest.fixture
def script(monkeypatch):
    """Import a script of the folder as it is when it is started there."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield lambda name: importlib.import_module(name)
    for name in (*SCRIPTS, "tiny"):
        sys.modules.pop(name, None)


def test_there_are_examples():
    assert SCRIPTS == ["lora", "streaming", "trainer"]


@pytest.mark.filterwarnings("default")  # of libraries, which a user would see too
@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_trains_a_model_that_knows_where_records_end(script, name, tmp_path, capsys):
    main = script(name).main
    steps = {"lora": "60"}.get(name, "40")
    main(["--tiny", "-o", str(tmp_path), "--steps", steps])
    assert "ult evaluate" in capsys.readouterr().out
    found = evaluate(tmp_path / "run", tmp_path / "notes.shards")
    assert found["bits_per_id"] < UNIFORM / 3
    stopped = [ids for ids in generate(tmp_path / "run", [()], n=8, max_new=40) if len(ids) < 40]
    assert len(stopped) >= 6
    table = ult.Table.load(tmp_path / "notes.ult")
    assert any(table.decode(ids).endswith("had a quiet night") for ids in stopped)


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_example_says_what_it_needs(script, name, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        script(name).main(["-o", str(tmp_path)])
    assert end.value.code == 2
    assert "--tiny" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
