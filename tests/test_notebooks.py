"""The notebooks run from top to bottom, offline, in seconds, and lie in git without what they showed."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.pages

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
NAMES = sorted(path.name for path in NOTEBOOKS.glob("*.ipynb"))
BAR = "<IPython.core.display.HTML"
MOST = 100_000  # bytes of all that a notebook shows, pictures included


def test_there_are_notebooks():
    assert NAMES == ["audit.ipynb", "images.ipynb", "own-records.ipynb", "text.ipynb"]
    assert {path.name for path in NOTEBOOKS.iterdir()} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_lies_in_git_without_what_it_showed(name):
    document = json.loads((NOTEBOOKS / name).read_text(encoding="utf-8"))
    nbformat.validate(nbformat.from_dict(document))
    code = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert code
    for cell in code:
        assert (cell["outputs"], cell["execution_count"], cell["metadata"]) == ([], None, {}), "clear all outputs"
    assert set(document["metadata"]) == {"kernelspec", "language_info"}
    assert document["metadata"]["language_info"] == {"name": "python"}


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The cells of each notebook, run one after another in one kernel, which imports torch once; names are its own."""
    cells = {}
    for name in NAMES:
        text = (NOTEBOOKS / name).read_text(encoding="utf-8")
        faster, trainings = re.subn(r"\bsteps=\d+", "steps=4", text)  # what is learned in so few is not looked at
        assert trainings
        first = nbformat.v4.new_code_cell(f"%reset -f\n%cd -q {tmp_path_factory.mktemp('notebook')}")
        cells[name] = [first, *nbformat.reads(faster, as_version=4).cells]
    whole = nbformat.v4.new_notebook(cells=[cell for part in cells.values() for cell in part])
    with pytest.MonkeyPatch.context() as patch:
        for place in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
            patch.setenv(place, str(tmp_path_factory.mktemp(place.lower())))
        NotebookClient(whole, timeout=300, kernel_name="python3", allow_errors=True).execute()
    return cells


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs(name, ran):
    shown = [output for cell in ran[name] if cell.cell_type == "code" for output in cell.outputs]
    assert not ["\n".join(output.traceback) for output in shown if output.output_type == "error"]
    assert not [output.text for output in shown if output.output_type == "stream" and output.name == "stderr"]
    assert len(json.dumps(shown)) < MOST
    bars = [
        output.data["text/html"] for output in shown if output.get("data", {}).get("text/plain", "").startswith(BAR)
    ]
    assert len(bars) >= 3
    assert not any(bars)  # they are gone, since all is done
