"""What a private run says about its records: everything to the owner, and to others only what is public."""

import json
import sys

import numpy as np
import pytest

from test_train import interrupt_at
from toy import SIZE, TABLE
from trained import SEEDED
from ult.__main__ import main
from ult.errors import FormatError, InvalidConfig
from ult.owner.handover.withhold import publish
from ult.owner.table import Table
from ult.public.guarantee import composed
from ult.public.manifest import UNTOLD, Manifest
from ult.public.published import OWNER, parted, released
from ult.public.run import Run
from ult.public.shards import Shards
from ult.public.vocabulary import Vocabulary
from ult.trainer.evaluate import evaluate
from ult.trainer.generate import generate, write_generated
from ult.trainer.models.build import build
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

EXACT = {"digest", "ids", "bytes", "coin", "name"}


def ult(capsys, *arguments):
    """Run the command line in this process; return its status, stdout and stderr, each on one line."""
    sys.argv = ["ult", *map(str, arguments)]
    with pytest.raises(SystemExit) as end:
        main()
    told = capsys.readouterr()
    return end.value.code or 0, " ".join(told.out.split()), " ".join(told.err.split())


@pytest.fixture
def run(private_run):
    return private_run


def texts_of(folder):
    """Everything that files of a folder say, by name."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_one_record_changes_the_ids_of_others_and_the_fingerprint():
    """So a training on shards of a plain table is private of the weights given the ids, and not of the records."""
    rng = np.random.default_rng(0)
    words = [f"w{k}" for k in range(60)]
    records = [" ".join(rng.choice(words, 12)) for _ in range(100)]
    whole, without = (Table.fit(r, vocabulary=Vocabulary(400), min_records=5) for r in (records, records[1:]))
    assert whole.fingerprint != without.fingerprint
    pairs = zip(whole.encode_batch(records[1:]), without.encode_batch(records[1:]), strict=True)
    assert sum(not np.array_equal(a, b) for a, b in pairs) > 80


def test_a_plain_table_takes_the_promise_from_the_records(run):
    told = json.loads((run / "metrics.json").read_text())
    assert not composed(told).of_records
    account = told["privacy"]["account"]
    assert account["of"] == "weights given the ids"
    assert "not of the records" in account["says"]


def test_the_owner_alone_knows_what_is_exact(run, shards):
    told, own = (json.loads((run / name).read_text()) for name in ("metrics.json", OWNER))
    assert not {name for lot in told["shards"] for name in lot} & (EXACT - {"name"})
    assert own["shards"][0]["digest"] == Shards(shards).manifest.digest
    assert (run / OWNER).stat().st_mode & 0o777 == 0o600
    assert Run.open(run).trained_on == [Shards(shards).manifest.digest]


@pytest.mark.parametrize(
    "damage",
    ["{", '{"format": "ult-owner/1"}', '{"format": "ult-owner/1", "shards": [], "targets": [], "trained_before": []}'],
)
def test_an_owners_file_of_another_run_is_refused(run, tmp_path, damage):
    for path in run.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / OWNER).write_text(damage)
    with pytest.raises(FormatError, match=r"owner\.json"):
        Run.open(tmp_path)


def test_a_released_run_names_no_table_that_promises_nothing(run, shards, tmp_path):
    publish(run, tmp_path / "out")
    files = texts_of(tmp_path / "out")
    manifest = Shards(shards).manifest
    assert OWNER not in files
    for name, data in files.items():
        if name != "model.safetensors":
            assert not any(text.encode() in data for text in (TABLE, manifest.digest)), name
    told = json.loads(files["metrics.json"])
    assert not {name for lot in told["shards"] for name in lot} & EXACT
    assert told["shards"][0]["table"] == UNTOLD
    assert not composed(told).of_records


def test_a_released_run_can_be_used_and_what_cannot_be_checked_is_said(run, shards, tmp_path, capsys):
    publish(run, tmp_path / "out")
    assert evaluate(tmp_path / "out", shards)["table_seen"] is None
    assert "nothing shows" in ult(capsys, "evaluate", tmp_path / "out", shards)[2]
    written = generate(tmp_path / "out", [()], n=2, max_new=4)
    write_generated(tmp_path / "out", written, tmp_path / "written")
    assert Shards(tmp_path / "written").manifest.table == UNTOLD
    asked = Recipe(from_run=tmp_path / "out", steps=1, batch_size=1, context=8)
    with pytest.raises(InvalidConfig, match=r"does not say which table.*--embeddings keep"):
        build(asked, Vocabulary(SIZE), {TABLE}, [])


def test_a_released_run_without_a_promise_keeps_its_table_and_loses_what_is_exact(shards, tmp_path):
    train(shards, tmp_path / "run", Recipe(steps=2, batch_size=4, context=8))
    publish(tmp_path / "run", tmp_path / "out")
    told = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert not {name for lot in told["shards"] for name in lot} & EXACT
    assert evaluate(tmp_path / "out", shards)["table_seen"] is True


def test_tables_that_cost_nothing_are_named():
    lot = {"table": "ab" * 16, "codec": "text/bytes", "column": "text", "rows": 3, "name": "x", "digest": "c" * 64}
    metrics = {"privacy": {"epsilon": 1.0, "delta": 1e-5}, "shards": [lot | {"public_table": True}, lot], "targets": []}
    metrics["validation"] = {"bits": [[1, 2.5]], "best_step": 1, "shards": [lot]}
    told = released(metrics)
    assert [one["table"] for one in told["shards"]] == ["ab" * 16, UNTOLD]
    assert told["validation"] == {"best_step": 1}
    public, own = parted(metrics)
    assert "digest" not in json.dumps(public)
    assert own["shards"][0] == {"digest": "c" * 64}


def test_an_interrupted_private_training_leaves_no_loss(shards, tmp_path, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        interrupt_at(7, patch)
        with pytest.raises(KeyboardInterrupt):
            train(shards, tmp_path / "cut", Recipe(**SEEDED))
    (hidden,) = (path for path in tmp_path.iterdir() if path.name.startswith("."))
    states = list(hidden.rglob("trainer_state.json"))
    assert states
    for state in states:
        document = json.loads(state.read_text())
        assert document["log_history"]
        assert not {name for entry in document["log_history"] for name in entry} & {"loss", "grad_norm", "train_loss"}
    train(shards, tmp_path / "cut", Recipe(**SEEDED), resume=True)
    told = capsys.readouterr()
    assert "loss" not in told.out + told.err


def test_records_that_are_trained_on_are_not_validated_on(shards, tmp_path):
    with pytest.raises(InvalidConfig, match="trained on and validated on"):
        train(shards, tmp_path / "run", Recipe(**SEEDED), validation=shards)
    assert list(tmp_path.iterdir()) == []


def test_commands_say_what_a_record_is_and_compose_both_promises(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("one two\n\ntwo one\n\none and two\n" * 20)
    asked = ("--vocabulary-size", "300", "--no-encryption", "--workers", "1")
    status, out, err = ult(capsys, "fit", "notes.txt", "-o", "t.ult", "--epsilon", "50", *asked)
    assert status == 0, err
    assert "each line of notes.txt is one record" in out
    assert "40 records are empty" in err
    ult(capsys, "encode", "notes.txt", "-t", "t.ult", "-o", "s", "--workers", "1")
    few = ("--steps", "2", "--context", "16", "--batch-size", "2", "--epsilon", "50")
    status, out, err = ult(capsys, "train", "s", "-o", "run", *few)
    assert status == 0, err
    told = json.loads((tmp_path / "run" / "metrics.json").read_text())
    promised = Manifest.from_json((tmp_path / "s" / ".manifest.json").read_text(), "m").privacy
    account = told["privacy"]["account"]
    assert account["epsilon"] == pytest.approx(told["privacy"]["epsilon"] + promised.epsilon)
    assert account["delta"] == pytest.approx(told["privacy"]["delta"] + promised.delta)
    assert f"epsilon {account['epsilon']:.3g} at delta {account['delta']:.2g} for each of 100 records" in out
    assert "on one account: training" in out
    assert "the promise is for one record of s" in out
    assert "40 records are empty" in err
    assert "on one account: training" in ult(capsys, "inspect", "run")[1]
    ult(capsys, "fit", "notes.txt", "-o", "p.ult", "--public", *asked)
    assert "fitted on public records" in " ".join(ult(capsys, "inspect", "p.ult")[1].split())
    ult(capsys, "encode", "notes.txt", "-t", "p.ult", "-o", "p", "--workers", "1")
    status, out, err = ult(capsys, "train", "p", "-o", "run2", *few)
    assert status == 0, err
    assert "for each of 100 records" in out
    assert "one account" not in out
    status, out, err = ult(capsys, "fit", "notes.txt", "-o", "q.ult", "--public", "--epsilon", "1", *asked)
    assert (status, "need no promise" in err) == (1, True)
