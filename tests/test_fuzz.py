"""Hostile inputs: what the fuzzer found once, and a few thousand mutations of every parser, drawn by a seed."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "fuzz"))

import report  # noqa: E402
import run  # noqa: E402
from mutate import dumps, loads, mutate_json  # noqa: E402
from targets import TARGETS  # noqa: E402
from watch import MEMORY, SECONDS, watch  # noqa: E402

CORPUS = sorted(path for path in run.CORPUS.rglob("*") if path.is_file())
SLOW = {"config": 15, "generation": 5, "weights": 15, "page": 2}  # inputs here; of the others 250

pytestmark = pytest.mark.filterwarnings(
    "ignore"
)  # NumPy, Pillow and transformers have something to say of many an input


def test_there_is_a_corpus_of_known_parsers():
    assert len(CORPUS) >= 10
    assert {path.parent.name for path in CORPUS} <= set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_inputs_are_read_or_refused(name, tmp_path):
    """Those of the corpus, and mutations; how long they take is for `make fuzz`, on a quiet machine."""
    seeds, read = TARGETS[name].make(tmp_path)
    accepted = 0
    for data in [*seeds, *(path.read_bytes() for path in CORPUS if path.parent.name == name)]:
        whole, fault = watch(read, data)
        accepted += whole
        assert " at " not in fault, fault
    assert accepted, "no input is accepted, so what refuses them all may be another thing"
    for k in range(SLOW.get(name, 250)):
        _, fault = watch(read, run.draw(name, seeds, 0, k))
        assert " at " not in fault, f"python fuzz/run.py --target {name} --inputs {k + 1}: {fault}"


def test_faults_are_seen(monkeypatch):
    accepted, fault = watch(lambda data: 1 // len(data), b"")
    assert not accepted
    assert fault.startswith("ZeroDivisionError at test_fuzz.py:")
    peaks, times = iter([0, 2 * MEMORY, 0, 0]), iter([0.0, 0.0, 0.0, 2 * SECONDS])
    monkeypatch.setattr("watch.peak", lambda: next(peaks))
    monkeypatch.setattr("time.process_time", lambda: next(times))
    assert watch(len, b"") == (True, "1024 MiB")
    assert watch(len, b"") == (True, "4.0 s")


def test_mutations_are_of_a_seed_and_differ():
    import random

    text = b'{"a": [1, 2, {"b": null}], "c": "d"}'
    assert dumps(loads(text.decode())) == text.decode().replace(" ", "")
    drawn, again = ([mutate_json(text, random.Random(k)) for k in range(200)] for _ in range(2))  # noqa: S311
    assert drawn == again
    assert len(set(drawn)) > 150


def test_the_page_is_the_result():
    found = report.json.loads(report.RESULT.read_text(encoding="utf-8"))
    assert report.PAGE.read_text(encoding="utf-8") == report.page(found), "run: python fuzz/report.py"
    assert {one["target"] for one in found["targets"]} <= set(TARGETS)
    assert found["inputs"] == sum(one["inputs"] for one in found["targets"])
