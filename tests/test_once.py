"""A single-valued option that is given twice is refused, because one value would be ignored silently."""

import sys
from pathlib import Path

import pytest

from ult.__main__ import main


def ult(monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setattr(sys, "argv", ["ult", *words])
    with pytest.raises(SystemExit) as done:
        main()
    return int(done.value.code or 0)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("fit a.csv -o t.ult --column a --column b", "--column"),
        ("fit a.csv -o t.ult -c a -c a", "--column"),
        ("fit a.csv -o t.ult -o u.ult", "--out"),
        ("encode a.csv --table t.ult -o s -t u.ult", "--table"),
        ("encode a.csv -t t.ult -o s --canonical --no-canonical", "--canonical"),
        ("dedupe a.csv -o b.csv --modality text --modality series", "--modality"),
        ("train s -o run --label a --label b --seed 1", "--label"),
        ("audit code s -t t.ult --reference a.csv -c a -c b", "--column"),
    ],
)
def test_an_option_given_twice_is_refused(
    words: str, named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert ult(monkeypatch, *words.split()) == 1
    said = capsys.readouterr().err
    assert f"{named} is given 2 times" in said
    assert not list(tmp_path.iterdir())


def test_what_may_be_repeated_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("text,one,two\nthe cat,1,2\na dog,3,4\n")
    words = "fit a.csv -o t.ult --no-encryption --no-encryption -k one -k two --option max_length=99"
    bwt = ("--codec", "text/bwt", "--option", "patch_size=9")
    assert ult(monkeypatch, *words.split(), *bwt) == 0
    capsys.readouterr()
    assert ult(monkeypatch, *words.split(), "--option", "max_length=98", "--force") == 1
    assert "'max_length' is given twice" in capsys.readouterr().err
    assert ult(monkeypatch, *words.split(), "--option", "quality=9", "--force") == 1
    assert "text/bytes has no option 'quality'; it has max_length" in capsys.readouterr().err


@pytest.mark.parametrize("words", ["fit a.csv --encode-identifier -o t.ult", "train s --label --seed 1 -o run"])
def test_an_option_is_not_taken_as_the_value_of_another(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    assert ult(monkeypatch, *words.split()) == 1
    option, met = words.split()[2:4]
    assert f"{option} was given {met}, an option, as its value" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", ["align old -t a.ult --to b.ult -o run", "encode inputs -t a.ult -o inputs"])
def test_the_name_of_an_argument_is_a_name_like_any(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ult(monkeypatch, *words.split()) == 1
    assert "a.ult" in (said := capsys.readouterr().err)
    assert "as its value" not in said
