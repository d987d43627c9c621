"""No secret is where it does not belong: every file that any verb writes, anywhere, and all that it says, is searched.

What is looked for, in many encodings: a phrase of the table, the passphrase, the secret key. Where a verb's very
purpose is to write one, the file stands in `ALLOWED`.
"""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from ult.cli import app
from ult.cli.verbs import GROUPS

pytestmark = pytest.mark.slow

PHRASE, PASSPHRASE = "Quittengelée", "viermal-ein-Möbiusband"
OWNER = ["--identity", "key"]
FIT = ["--min-records", "1", "--vocabulary-size", "400", "--workers", "1"]
SMALL = ["--steps", "2", "--context", "16", "--batch-size", "2"]
MADE = ["--passphrase-file", "phrase", "--steps", "2", "--context", "16", "--batch-size", "2", "--workers", "1"]
SAMPLE = ["--canaries", "2", "--alternatives", "12", "--prefix-ids", "2", "--suffix-ids", "2", "--samples", "1"]
TEXT, TABLE = ["-c", "text"], ["-t", "t.ult", *OWNER]
COMMANDS = [
    ["keygen", "-o", "key"],
    ["dedupe", "notes.csv", *TEXT, "-k", "label", "-o", "distinct.csv"],
    ["split", "distinct.csv", "-o", "parts", "--label", "label", "--rows-alone"],
    ["fit", "distinct.csv", *TEXT, "-k", "label", "-o", "t.ult", "-r", "{recipient}", *FIT],
    ["fit", "distinct.csv", *TEXT, "-k", "label", "-o", "b.ult", "--passphrase-file", "phrase", *FIT],
    ["encode", "distinct.csv", *TEXT, "-k", "label", *TABLE, "-o", "s.shards"],
    ["encode", "distinct.csv", *TEXT, *TABLE, "-o", "c.shards", "--canaries", "2", "--repeats", "2"],
    ["encode", "others.csv", *TEXT, *TABLE, "-o", "others.shards"],
    ["forget", "find", "distinct.csv", *TEXT, *TABLE, "--shards", "c.shards", "--near", "0.9", "-o", "gone.rows"],
    ["forget", "shards", "c.shards", "--rows", "gone.rows", "-o", "fewer.shards"],
    ["forget", "table", "t.ult", "--records", "distinct.csv", *TEXT, *OWNER, "-r", "{recipient}", "-o", "again.ult"],
    ["encode", "distinct.csv", *TEXT, "-t", "b.ult", "-o", "b.shards", "--passphrase-file", "phrase"],
    ["decode", "s.shards", *TABLE, "-o", "back.csv"],
    ["synth", "others.csv", *TEXT, "--codec", "text/bytes", "--rows", "2", "-o", "made.txt", *MADE],
    ["train", "c.shards", "-o", "run", *SMALL, "--report-to", "tensorboard"],
    ["train", "s.shards", "--targets", "b.shards", "--task", "seq2seq", "-o", "pairs", *SMALL],
    ["describe", "notes.csv", "-o", "schema.json"],
    ["train", "c.shards", "-o", "counts", "--model", "ngrams", *SMALL[2:4]],
    ["average", "run", "counts", "--validation", "s.shards", "-o", "mean"],
    ["distil", "run", "--shards", "c.shards", "-o", "small", *SMALL],
    ["federate", "init", "tiny", "-o", "group", "--rounds", "2", "--local-steps", "1"],
    ["federate", "simulate", "s.shards", "b.shards", "--group", "group", "-o", "together", *SMALL[2:]],
    ["evaluate", "run", "s.shards"],
    ["generate", "run", "-n", "1", "-o", "g.shards", "--max-new", "4"],
    ["generate", "run", "-n", "1", *TABLE, "-o", "w.txt", "--max-new", "4", "--prompt", PHRASE],
    ["translate", "pairs", "s.shards", "-o", "out.shards", "--max-new", "3"],
    ["fit", "notes.csv", "--codec", "record/columns", "-o", "r.ult", "-r", "{recipient}", *FIT],
    ["encode", "notes.csv", "-t", "r.ult", *OWNER, "-o", "r.shards"],
    ["train", "r.shards", "-o", "records", *SMALL],
    ["predict", "records", "notes.csv", "-t", "r.ult", *OWNER, "--target", "label", "-o", "labels.csv"],
    ["table", "update", "t.ult", "others.csv", *TEXT, *OWNER, "-o", "u.ult", "-r", "{recipient}", "--keep-ids"],
    ["align", "run", *TABLE, "--to", "b.ult", "-o", "aligned", "--to-passphrase-file", "phrase"],
    [
        "audit",
        "code",
        "s.shards",
        "--reference",
        "others.csv",
        *TEXT,
        *TABLE,
        "--json",
        "code.json",
        "--pairs",
        "pairs.json",
    ],
    ["audit", "update", "run", "run", "--on", "c.shards", "--json", "flips.json"],
    ["audit", "mechanism", "--of", "table", "--trials", "2"],
    ["audit", "synth", "others.csv", "--real", "notes.csv", "--held-out", "distinct.csv", "--report", "synth.html"],
    [
        "audit",
        "model",
        "run",
        "--members",
        "c.shards",
        "--others",
        "others.shards",
        *TABLE,
        *SAMPLE,
        "--json",
        "m.json",
    ],
    [
        "audit",
        "table",
        "t.ult",
        "--members",
        "distinct.csv",
        "--others",
        "others.csv",
        *TEXT,
        *OWNER,
        "--json",
        "t.json",
    ],
    ["audit", "release", "--run", "run", "--shards", "s.shards", "--code-audit", "code.json", "-o", "audit"],
    ["audit", "release", "--shards", "s.shards", "--code-audit", "code.json", "--pairs", "pairs.json", "-o", "shown"],
    [
        "release",
        "run",
        "-o",
        "body",
        "--private-embeddings",
        "--rows",
        "rows",
        "-r",
        "{recipient}",
        "--accept-risk",
        "x",
    ],
    ["attach", "body", "-o", "whole", "--rows", "rows", *OWNER],
    *(["inspect", path, *OWNER] for path in ("t.ult", "s.shards", "run")),
    ["rekey", "t.ult", "--new-passphrase-file", "phrase", *OWNER],
    ["shred", "b.ult", "--yes"],
]
FAILING = [
    ["fit", "broken.jsonl", "-o", "no.ult", "-r", "{recipient}"],
    ["fit", "ragged.csv", "-o", "no.ult", "-r", "{recipient}"],
    ["encode", "broken.jsonl", "-t", "t.ult", "-o", "no.shards", "--passphrase-file", "phrase"],
    ["decode", "s.shards", "-t", "t.ult", "-o", "no.txt", "--passphrase-file", "other"],
    ["decode", "s.shards", "-t", "notes.csv", "-o", "no.txt"],
    ["decode", "g.shards", "-t", "plain.ult", "-o", "no.txt"],
    ["generate", "run", "-t", "t.ult", "-o", "no.txt", "--prompt", PHRASE * 40, "--passphrase-file", "phrase"],
    ["!crash", "encode", "distinct.csv", "-c", "text", "-t", "t.ult", "-o", "no.shards", "--passphrase-file", "phrase"],
]
ELSEWHERE = {
    "demo": "test_demo.py, by the same means",
    "audit forget": "test_audit_forget.py, by the same means as audit model",
    "forget run": "test_forget_run.py: behind the wall of test_wall.py",
    "federate serve": "test_federated_network.py: it has neither table nor shards",
    "federate join": "test_federated.py searches what it sends; its run is that of federate simulate",
    "adopt": "test_adopt.py: it is given a model and shards, and behind the wall of test_wall.py",
}
TEXTS = [f"{PHRASE} gives {n} jars of {PHRASE}" for n in range(8)]
INPUTS = {
    "notes.csv": "label,text\n" + "".join(f"{'ab'[n % 2]},{text}\n" for n, text in enumerate(TEXTS * 2)),
    "others.csv": "text\n"
    + "".join(f"a {word} by the river at noon\n" for word in ("boat", "mill", "road", "kite") * 2),
    "broken.jsonl": json.dumps({"text": TEXTS[0]}, ensure_ascii=False) + '\n{"text": "' + PHRASE + '"\n',
    "ragged.csv": f"label,text\na,{PHRASE},{PHRASE}\n",
    "phrase": PASSPHRASE + "\n",
    "other": "another\n",
    "plain.ult": '{"merges": "' + PHRASE + '"}',
}
WRITTEN = [
    "distinct.csv",
    "back.csv",
    "w.txt",
    "parts/train/distinct.csv",
    "parts/test/distinct.csv",
]  # whose purpose is to hold records
ALLOWED = {
    "phrase": ["work/" + name for name in (*WRITTEN, "notes.csv", "broken.jsonl", "ragged.csv", "plain.ult")],
    "passphrase": ["work/phrase"],
    "key": ["work/key"],
}


def forms(text):
    """The bytes of a text in every form that a careless program might write it in."""
    data = text.encode()
    plain = [
        data,
        text.encode("latin-1"),
        *(text.encode(f"utf-{kind}") for kind in ("16-le", "16-be", "32-le", "32-be")),
    ]
    as_text = [
        data.hex(),
        data.hex().upper(),
        json.dumps(text)[1:-1],
        repr(data)[2:-1],
        data.hex(" "),
        ascii(text)[1:-1],
    ]
    as_text += [separator.join(map(str, data)) for separator in (",", ", ", " ", "\n")]
    wide = [b"".join(byte.to_bytes(size, "little") for byte in data) for size in (2, 4, 8)]
    # At each of three offsets, without the characters that what stands before and behind has a share in.
    coded = [base64.b64encode(b"\0" * start + data)[4 * bool(start) : -4] for start in range(3)]
    return list(dict.fromkeys([*plain, *(one.encode() for one in as_text), *wide, *coded]))


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What each command said and left behind, in a home of its own."""
    root = tmp_path_factory.mktemp("secrets")
    for name in ("work", "home", "tmp", "cache", "hf"):
        (root / name).mkdir()
    for name, text in INPUTS.items():
        (root / "work" / name).write_text(text, encoding="utf-8")
    asked = {
        "needles": {
            "phrase": [one.hex() for one in forms(PHRASE)],
            "passphrase": [one.hex() for one in forms(PASSPHRASE)],
        },
        "commands": COMMANDS + FAILING,
        "allowed": ALLOWED,
    }
    (root.parent / "asked.json").write_text(json.dumps(asked), encoding="utf-8")
    homes = {"HOME": "home", "TMPDIR": "tmp", "XDG_CACHE_HOME": "cache", "HF_HOME": "hf", "MPLCONFIGDIR": "cache/mpl"}
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("every_verb.py"), root.parent / "asked.json"],
        cwd=root / "work",
        env={**os.environ, **{name: str(root / folder) for name, folder in homes.items()}, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    *commands, last = [json.loads(line) for line in done.stdout.splitlines()]
    return root, commands, last, done.stderr


def test_no_command_leaves_or_says_a_secret(ran):
    _, commands, _, said = ran
    assert len(commands) == len(COMMANDS) + len(FAILING)
    for one in commands:
        assert not one["hits"], f"ult {' '.join(one['words'])}: {one['hits']}"
    assert not any(form in said.encode() for form in forms(PHRASE) + forms(PASSPHRASE))


def test_the_commands_did_what_they_were_to_do(ran):
    root, commands, _, _ = ran
    for one, words in zip(commands, COMMANDS + FAILING, strict=True):
        expected = 0 if words in COMMANDS else -1 if words[0] == "!crash" else 1
        assert one["status"] == expected, one
    assert "Traceback" in commands[-1]["said"]
    assert sum(one["files"] for one in commands) > 60
    assert (root / "work/back.csv").read_text(encoding="utf-8").count(PHRASE) == 2 * len(TEXTS)


def test_the_search_finds_what_is_planted(ran):
    """In the files that may hold a secret it is found, and a table, opened, holds the phrase."""
    root, _, _, _ = ran
    from ult.owner.table import Table

    for name, text in (("phrase", PHRASE), ("passphrase", PASSPHRASE)):
        for path in ALLOWED[name]:
            if path != "work/w.txt":
                assert text.encode() in (root / path).read_bytes(), path
    table = Table.load(root / "work/t.ult", passphrase=PASSPHRASE)
    held = [bytes(phrase.astype("u1")) for phrase in table.spellings()]
    assert any(PHRASE.encode() in phrase for phrase in held)
    for start in range(3):
        assert any(form in base64.b64encode(b"x" * start + PHRASE.encode() + b"yz") for form in forms(PHRASE))


def test_no_core_file_can_be_written(ran):
    assert ran[2] == {"core": [0, 0]}


def test_every_verb_is_searched():
    root: Any = typer.main.get_command(app)  # typer leaves open that it is a group
    verbs = {
        f"{name} {inner}".strip()
        for name, command in root.commands.items()
        for inner in getattr(command, "commands", {"": None})
    }
    ran = {" ".join(words[:2]) if words[0] in GROUPS else words[0] for words in COMMANDS}
    assert ran | set(ELSEWHERE) == verbs
    assert not ran & set(ELSEWHERE)
