"""Texts are decoded by several processes as by one: the same file, with few parts in memory."""

import json

import pytest

import ult
from ult.owner.pipeline import engine
from ult.owner.pipeline.engine import Local

ROWS = [{"text": text, "label": n % 3} for n, text in enumerate(["é", "", "a\nb", "\ud800 odd", "漢字", "plain"] * 5)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    (folder / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    table = ult.Table.fit([row["text"] for row in ROWS], vocabulary=ult.Vocabulary(300), min_records=1)
    source = {"column": "text", "keep": ["label"], "workers": 1, "part_bytes": 100}
    ult.encode(folder / "in.jsonl", table, folder / "x.shards", **source)
    assert len(ult.Shards(folder / "x.shards").manifest.parts) > 4
    return folder, table


def test_the_file_is_the_same(made, monkeypatch):
    folder, table = made
    started, start = [], engine._start

    def begin():
        started.append(1)
        return start()

    monkeypatch.setattr(engine, "_start", begin)
    for workers in (1, 2):
        ult.decode(folder / "x.shards", table, folder / f"{workers}.jsonl", workers=workers)
        assert len(started) == (workers if workers > 1 else 0)
    assert (folder / "1.jsonl").read_bytes() == (folder / "2.jsonl").read_bytes()
    lines = (folder / "2.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == ROWS


def test_no_piece_begins_far_after_the_first_that_is_not_done(monkeypatch):
    """Of two workers one is slow with piece 0: the other does no more than `ahead` pieces meanwhile."""
    monkeypatch.setattr(engine, "_start", lambda: (_Process(), _Pipe()))
    monkeypatch.setattr(engine, "_send", lambda pipe, message: None)

    def collect(busy, idle):
        pipe = max(busy, key=busy.get)  # the last one that was sent is done first
        idle.append(pipe)
        return iter([(busy.pop(pipe), None)])

    monkeypatch.setattr(engine, "_collect", collect)
    order = [number for number, _ in Local(2, ahead=3).map(_never, (), ((n, (n,)) for n in range(9)))]
    assert order == [1, 2, 3, 0, 5, 6, 7, 4, 8]


class _Process:
    def terminate(self):
        pass

    join = close = terminate


class _Pipe:
    def close(self):
        pass


def _never():
    raise AssertionError
