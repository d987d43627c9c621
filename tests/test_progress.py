"""Long work shows that it lives: bars in a notebook, lines where there is neither that nor a terminal."""

import re
import sys
import types
from typing import Any

import pytest

from test_published import ult
from toy import counting as counting_up
from toy import write
from ult.__main__ import main
from ult.errors import EngineError
from ult.host import bar, pulse
from ult.host.progress import silent
from ult.owner.encode import encode
from ult.owner.fit import fit as owner_fit
from ult.trainer.recipe import Recipe
from ult.trainer.train import train


class Cell:
    """What a notebook shows below a cell, as IPython has it: outputs that are drawn again by their handle."""

    shell: types.SimpleNamespace

    def __init__(self):
        self.drawn = []

    def display(self, html, *, display_id):
        assert display_id is True
        self.drawn.append(html.data)
        return types.SimpleNamespace(update=lambda html: self.drawn.append(html.data))


@pytest.fixture
def cell(monkeypatch):
    found = Cell()
    shell = types.SimpleNamespace(kernel=object())
    ipython: Any = types.ModuleType("IPython")
    ipython.version_info = (9, 0)  # matplotlib asks
    ipython.get_ipython = lambda: shell
    shown: Any = types.ModuleType("IPython.display")
    shown.display, shown.HTML = found.display, lambda data: types.SimpleNamespace(data=data)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    monkeypatch.setattr("ult.host.notebook.EVERY", 0.0)
    found.shell = shell
    return found


def test_a_notebook_has_a_bar_that_goes_when_the_work_is_done(cell):
    with bar.counting("fitting") as advance:
        advance(1000)
        advance(200)
    assert cell.drawn == [
        "fitting <progress></progress> 0 s",
        "fitting <progress></progress> 0 s",
        "fitting <progress></progress> 1,000 records, 0 s",
        "fitting <progress></progress> 1,200 records, 0 s",
        "",
    ]


def test_of_an_error_the_bar_stays_and_no_name_is_markup(cell):
    def fail():
        with bar.stages("<b>auditing", named=True) as tell:
            tell("<script>", 3)
            raise EngineError("lost")

    with pytest.raises(EngineError):
        fail()
    assert cell.drawn[-1] == "&lt;b&gt;auditing <progress></progress> &lt;script&gt;, 3 records, 0 s"


def test_a_training_in_a_notebook_has_a_bar_of_its_steps(cell, tmp_path, capsys):
    train(write(tmp_path / "a", counting_up(20)), tmp_path / "run", Recipe(steps=3, batch_size=2, context=8))
    reading = next(n for n, text in enumerate(cell.drawn) if not text)  # the bar has gone
    assert cell.drawn[reading - 1] == "reading shards <progress></progress> 20 records, 0 s"
    assert [text.partition(">")[0] for text in cell.drawn[reading + 2 : -1]] == [
        f'training <progress value="{step}" max="3"' for step in range(4)
    ]
    assert cell.drawn[-1] == ""
    assert "3 steps in" in capsys.readouterr().err + "".join(cell.drawn)


def test_the_verbs_of_the_library_have_a_bar_unless_they_are_told_otherwise(cell, tmp_path):
    (tmp_path / "n.txt").write_text("the cat sat\n" * 20)
    fitted = owner_fit(tmp_path / "n.txt", tmp_path / "t.ult", encrypt=False, workers=1)
    assert cell.drawn[0] == "fitting <progress></progress> 0 s"
    assert cell.drawn[-1] == ""
    cell.drawn.clear()
    encode(tmp_path / "n.txt", fitted.table, tmp_path / "s", workers=1, progress=silent)
    assert cell.drawn == []


def test_a_shell_without_a_kernel_is_no_notebook(cell, monkeypatch, capsys):
    cell.shell.kernel = None
    with bar.counting("fitting") as advance:
        advance(1)
    assert cell.drawn == []
    assert capsys.readouterr().err == ""


VERBS = {
    "fitting": "fit n.txt -o t2.ult --no-encryption --min-records 1",
    "encoding": "encode n.txt -t t.ult -o s2",
    "decoding": "decode s -t t.ult -o back.txt",
    "training": "train s -o run2 --steps 2 --batch-size 2 --context 8",
    "evaluating": "evaluate run s",
    "generating": "generate run -o g --max-new 4",
    "auditing": "audit table t.ult --members n.txt --others other.txt",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("verbs")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        (place / "n.txt").write_text("".join(f"the {k} cats of {k % 3}\n" for k in range(60)))
        (place / "other.txt").write_text("".join(f"a {k} dog by {k % 4}\n" for k in range(60)))
        for verb in ("fit n.txt -o t.ult --no-encryption --min-records 1", "encode n.txt -t t.ult -o s"):
            patch.setattr(sys, "argv", ["ult", *verb.split()])
            with pytest.raises(SystemExit) as end:
                main()
            assert not end.value.code
        train(place / "s", place / "run", Recipe(steps=2, batch_size=2, context=8))
    return place


@pytest.mark.parametrize("doing", VERBS)
def test_without_a_terminal_every_long_verb_says_that_it_lives(folder, doing, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(pulse, "FIRST", 0.0)
    monkeypatch.setattr(pulse, "MOST", 0.05)

    def run(self):  # says its line however short the work is
        self._say(f"{self._text()}, 0 s")
        self._ended.wait()

    monkeypatch.setattr(pulse.Pulse, "_run", run)
    status, _, err = ult(capsys, *VERBS[doing].split())
    assert status == 0, err
    assert re.search(rf"(^| ){doing}( \(compiling|, \d+ s|: )", err)  # whose lines are joined by spaces
