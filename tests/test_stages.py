"""A long audit reports its stages, also where there is no terminal for a progress bar."""

import time

import pytest

from ult.host.bar import stages


def test_stages_are_told_now_and_then(monkeypatch, capsys):
    monkeypatch.setattr("ult.host.pulse.FIRST", 0.05)
    with stages("auditing", named=True) as tell:
        time.sleep(0.12)
        tell("membership", 16)
        tell("membership", 16)
        time.sleep(0.12)
        tell("extraction, greedy", 0)
        time.sleep(0.12)
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("auditing: membership, 32 records, ") for line in lines)
    assert any(line.startswith("auditing: extraction, greedy, ") for line in lines)


def test_what_takes_no_time_says_nothing(capsys):
    with stages("auditing", named=True) as tell:
        tell("membership", 3)
    assert capsys.readouterr().err == ""
    with pytest.raises(ValueError, match="x"), stages("auditing", named=True):
        raise ValueError("x")
