"""The owner's copy of the audit's page: it shows records, and nothing else that an audit writes does."""

import json
import stat

import numpy as np
import pytest

from evidence import code
from pages import audit
from toy import TABLE, write
from ult.__main__ import main
from ult.audit.release.beside import MOST, beside
from ult.audit.release.page import render
from ult.errors import FormatError, InvalidConfig, MissingSource
from ult.public.shards import Shards

SECRETS = ("Maria Schmidt has chest pain", "מריה שמידט <b>", "Hans Okafor, 43")


def pairs(subject, **changes):
    """What `ult audit code --pairs` writes, made by hand."""
    told = [
        {
            "read": secret[:-3] + "···",
            "pieces": [{"text": secret[:-3], "right": True}, {"text": "···", "right": False}],
            "truth": secret,
            "share": 0.9,
        }
        for secret in SECRETS
    ]
    return {"format": "ult-audit-pairs/1", "subject": subject, "attack": "co-occurrence", "pairs": told, **changes}


def saved(path, document):
    path.write_text(json.dumps(document))
    return path


def release(monkeypatch, *words):
    """Run `ult audit release`; return its status."""
    monkeypatch.setattr("sys.argv", ["ult", "audit", "release", *map(str, words)])
    with pytest.raises(SystemExit) as done:
        main()
    return done.value.code or 0


@pytest.fixture
def given(tmp_path):
    """The options of a release of shards that were attacked, and the pairs beside it."""
    shards = write(tmp_path / "a.shards", [np.full(9, 40, np.uint32)] * 30)
    found = code(0.9, table=TABLE, shards=Shards(shards).manifest.digest, records=30)
    files = saved(tmp_path / "code.json", found), saved(tmp_path / "pairs.json", pairs(found["subject"]))
    return ["--shards", shards, "--code-audit", files[0]], files[1]


def test_only_the_owners_copy_holds_what_was_read(given, tmp_path, monkeypatch, capsys):
    options, file = given
    out = tmp_path / "audit"
    assert release(monkeypatch, *options, "--pairs", file, "-o", out) == 0
    said = capsys.readouterr()
    owner = tmp_path / "audit-owner.html"
    shown = owner.read_text(encoding="utf-8")
    assert stat.S_IMODE(owner.stat().st_mode) == 0o600
    assert "Contains records: never give this page away" in shown
    assert "never give it away" in said.err
    assert "Maria Schmidt has chest pain" in shown
    assert "מריה שמידט &lt;b&gt;" in shown
    assert sorted(path.name for path in out.iterdir()) == ["audit.html", "audit.json"]
    for text in (*(path.read_text(encoding="utf-8") for path in out.iterdir()), said.out, said.err):
        for secret in SECRETS:
            for part in (secret, secret[:-3], secret.split()[0], json.dumps(secret)[1:-1]):
                assert part not in text
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_what_is_there_is_replaced_only_if_asked_and_together(given, tmp_path, monkeypatch, capsys):
    options, file = given
    out, owner = tmp_path / "audit", tmp_path / "audit-owner.html"
    owner.write_text("mine")
    assert release(monkeypatch, *options, "--pairs", file, "-o", out) == 1
    assert not out.exists()
    assert owner.read_text() == "mine"
    assert release(monkeypatch, *options, "-o", out) == 0
    assert "earlier audit, and contains records" in capsys.readouterr().err
    assert owner.read_text() == "mine"
    assert release(monkeypatch, *options, "--pairs", file, "-o", out, "--force") == 0
    assert "Maria" in owner.read_text(encoding="utf-8")
    (out / "letter.txt").write_text("mine")
    assert release(monkeypatch, *options, "-o", out, "--force") == 1
    assert (out / "letter.txt").read_text() == "mine"


def test_the_copy_without_pairs_is_the_page_that_may_travel(tmp_path):
    told = audit()
    page = render(told)
    copy = render(told, beside(saved(tmp_path / "pairs.json", pairs(told["audits"]["code"]["subject"])), told))
    assert "Contains records" not in page
    assert "What was read, beside the true text" not in page
    assert page.split("<h2>Findings")[1] == copy.split("<h2>Findings")[1]


def test_pairs_of_something_else_are_refused(tmp_path):
    told = audit()
    subject = told["audits"]["code"]["subject"]
    path = tmp_path / "pairs.json"
    with pytest.raises(InvalidConfig, match="another audit"):
        beside(saved(path, pairs({**subject, "shards": "00" * 32})), told)
    with pytest.raises(InvalidConfig, match="without the audit"):
        beside(saved(path, pairs(subject)), {"audits": {"code": None}})
    with pytest.raises(MissingSource):
        beside(tmp_path / "nothing.json", told)
    for bad in ({"pairs": [{}]}, {"attack": 3}, {"format": "ult-audit-code/2"}, {"pairs": [{"pieces": 1}]}):
        with pytest.raises(FormatError):
            beside(saved(path, pairs(subject, **bad)), told)
    many = pairs(subject)
    many["pairs"] *= 5
    assert len(beside(saved(path, many), told)["told"]) == MOST
    nothing = beside(saved(path, pairs(subject, pairs=[])), told)
    assert "read nothing" in render(told, nothing)
