"""Members and nonmembers of an audit: bound by digests, each record once, none of them a canary or on both sides."""

import json
import shutil

import numpy as np
import pytest

from leak import random_records
from toy import OTHER, counting, write
from ult.audit.model.audit import audit_model
from ult.audit.model.blind import blind
from ult.audit.model.record import Record
from ult.audit.model.sides import encoded_canaries, read_sides
from ult.errors import InvalidConfig, TrainingError, WrongTable, WrongVocabulary
from ult.owner.table import Table
from ult.public.manifest import Canaries, Coin
from ult.public.run import Run
from ult.public.shard_writer import ShardWriter
from ult.public.shards import Shards
from ult.public.vocabulary import Vocabulary
from ult.trainer.recipe import Recipe
from ult.trainer.train import train

STEP = {"steps": 1, "batch_size": 2, "context": 16}
TEXTS = [f"the {noun} of {k} was {k % 7}" for k in range(20) for noun in ("rate", "dose")]


@pytest.fixture(scope="module")
def table():
    return Table.fit(TEXTS, vocabulary=Vocabulary(320), min_records=2)


def planted(path, table, texts, *, count=0, repeats=1, coin=None, told=True):
    """Write shards of texts and the first canaries of their table."""
    ids = table.encode_batch(texts) + encoded_canaries(table, count) * repeats
    says = Canaries(count, repeats) if count and told else None
    with ShardWriter(path, vocabulary=table.vocabulary, table=table.fingerprint, codec=table.codec.id, column="text",
                     canaries=says, coin=coin) as writer:  # fmt: skip
        writer.write(ids, 100)
    return path


@pytest.fixture(scope="module")
def folder(table, tmp_path_factory):
    """Shards `in`, with 3 canaries planted twice, `out` without, and a run on the first."""
    folder = tmp_path_factory.mktemp("sides")
    planted(folder / "in", table, [*TEXTS[:16], *TEXTS[:4]], count=3, repeats=2)
    planted(folder / "out", table, [*TEXTS[20:], *TEXTS[2:5], TEXTS[25]])
    train(folder / "in", folder / "run", Recipe(**STEP))
    return folder


def told(run, path, **changes):
    """Copy a run, with other metrics; None takes a field away, of the shards too."""
    shutil.copytree(run, path)
    metrics = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
    lots = changes.pop("lots", {})
    for lot in metrics["shards"]:
        lot |= lots
        for name in [name for name, value in lots.items() if value is None]:
            del lot[name]
    (path / "metrics.json").write_text(json.dumps(metrics | changes), encoding="utf-8")
    return Run.open(path)


def test_what_is_compared_and_what_is_not(folder, table):
    """20 texts, 4 of them twice, of which 3 are on the other side too, and 3 canaries twice."""
    sides = read_sides(Run.open(folder / "run"), folder / "in", folder / "out", table=table)
    found = {
        name: [table.decode(one.ids) for one in getattr(sides, name)] for name in ("members", "nonmembers", "shared")
    }
    assert found == {"members": [*TEXTS[:2], *TEXTS[5:16]], "nonmembers": TEXTS[20:], "shared": TEXTS[2:5]}
    assert [copies.tolist() for copies in sides.copies] == [[2, 2] + [1] * 11, [1] * 5 + [2] + [1] * 14]
    assert sides.facts == {
        "members": {"records": 26, "compared": 13, "repeated": 4, "shared": 3, "canaries": 6},
        "nonmembers": {"records": 24, "compared": 20, "repeated": 1, "shared": 3, "canaries": 0},
    }
    assert (sides.bound, sides.coin, sides.found) == (True, False, 3)
    assert len(sides.notes) == 4
    assert [one.ids.tolist() for one in sides.recited[13:]] == [one.ids.tolist() for one in sides.shared]


def test_canaries_are_told_by_the_table_alone(folder, table):
    run = Run.open(folder / "run")
    with pytest.raises(InvalidConfig, match=r"3 canaries were planted .*in.*--table"):
        read_sides(run, folder / "in", folder / "out")
    with pytest.raises(WrongTable, match="canaries in"):
        read_sides(
            run, folder / "in", folder / "out", table=Table.fit(TEXTS[1:], vocabulary=Vocabulary(320), min_records=1)
        )


def test_swapped_sides_are_an_error(folder, table):
    run = Run.open(folder / "run")
    with pytest.raises(InvalidConfig, match="members and nonmembers look swapped"):
        read_sides(run, folder / "out", folder / "in", table=table)
    with pytest.raises(InvalidConfig, match="is on both sides"):
        read_sides(run, folder / "in", [folder / "out", folder / "in"], table=table)
    with pytest.raises(InvalidConfig, match="on both sides"):
        read_sides(run, folder / "out", folder / "out", table=table)


def test_members_are_what_the_run_was_trained_on(folder, table, tmp_path):
    other = planted(tmp_path / "other", table, TEXTS[:20])
    with pytest.raises(InvalidConfig, match=r"was not trained on .*other.*--members with the very shards: in"):
        read_sides(Run.open(folder / "run"), other, folder / "out", table=table)
    again = planted(tmp_path / "again", table, [*TEXTS[:16], TEXTS[0]])
    with pytest.raises(InvalidConfig, match="0 of 26 members can be compared: 16 are on both sides, 6 are canaries"):
        read_sides(Run.open(folder / "run"), folder / "in", again, table=table)


def test_an_older_run_shows_nothing(folder, table, tmp_path):
    run = told(folder / "run", tmp_path / "old", lots={"digest": None, "canaries": None})
    sides = read_sides(run, folder / "in", folder / "out", table=table)
    assert not sides.bound
    assert any("older than digests" in note for note in sides.notes)
    swapped = read_sides(run, folder / "out", folder / "in", table=table)
    assert not swapped.bound


def test_what_earlier_runs_were_trained_on_is_no_nonmember(folder, table, tmp_path):
    planted(tmp_path / "later", table, TEXTS[16:20])
    train(tmp_path / "later", tmp_path / "on", Recipe(from_run=folder / "run", **STEP))
    run = Run.open(tmp_path / "on")
    assert run.metrics["trained_before"] == [Shards(folder / "in").manifest.digest]
    with pytest.raises(InvalidConfig, match="was trained on"):
        read_sides(run, tmp_path / "later", folder / "in", table=table)
    assert read_sides(run, [tmp_path / "later", folder / "in"], folder / "out", table=table).bound
    unknown = told(tmp_path / "on", tmp_path / "unknown", trained_before=None)
    notes = read_sides(unknown, tmp_path / "later", folder / "out", table=table).notes
    assert any("went on from run" in note for note in notes)
    assert Run.open(tmp_path / "unknown").trained_on is None


def test_shards_that_chose_the_step_are_not_quite_unseen(folder, table, tmp_path):
    train(folder / "in", tmp_path / "run", Recipe(**STEP), validation=folder / "out")
    notes = read_sides(Run.open(tmp_path / "run"), folder / "in", folder / "out", table=table).notes
    assert any("out decided which step" in note for note in notes)


def test_a_coin_decides_on_both_sides(table, tmp_path):
    coins = [Coin("ab" * 16, side, 40) for side in ("members", "nonmembers")]
    paths = [planted(tmp_path / coin.side, table, TEXTS[k::2], coin=coin) for k, coin in enumerate(coins)]
    train(paths[0], tmp_path / "run", Recipe(**STEP))
    run = Run.open(tmp_path / "run")
    assert read_sides(run, *paths).coin
    old = told(tmp_path / "run", tmp_path / "old", lots={"digest": None})
    with pytest.raises(InvalidConfig, match="the coin made"):
        read_sides(old, *paths[::-1])
    plain = planted(tmp_path / "plain", table, TEXTS[1::2])
    assert not read_sides(run, paths[0], plain).coin
    strange = planted(tmp_path / "strange", table, TEXTS[1::2], coin=Coin("cd" * 16, "nonmembers", 40))
    assert not read_sides(run, paths[0], strange).coin


QUICK = {"samples": 0, "prefix": 4, "suffix": 4, "alternatives": 10}


def test_exposure_is_of_planted_canaries_alone(folder, table, tmp_path):
    found, _ = audit_model(folder / "run", folder / "in", folder / "out", table=table, **QUICK)
    assert len(found["canaries"]["interpolated"]) == found["canaries"]["planted"] == 3
    assert found["membership"]["zlib"]["members"] == 13
    asked, _ = audit_model(folder / "run", folder / "in", folder / "out", table=table, canaries=2, **QUICK)
    assert len(asked["canaries"]["interpolated"]) == 2
    with pytest.raises(InvalidConfig, match="4 canaries was asked for; 3 of them are known"):
        audit_model(folder / "run", folder / "in", folder / "out", table=table, canaries=4, **QUICK)
    never = planted(tmp_path / "never", table, TEXTS[:20])
    train(never, tmp_path / "run", Recipe(**STEP))
    with pytest.raises(InvalidConfig, match="8 canaries was asked for; 0 of them"):
        audit_model(tmp_path / "run", never, folder / "out", table=table, canaries=8, **QUICK)
    untold = planted(tmp_path / "untold", table, TEXTS[:20], count=2, told=False)
    train(untold, tmp_path / "older", Recipe(**STEP))
    older, _ = audit_model(tmp_path / "older", untold, folder / "out", table=table, canaries=2, **QUICK)
    assert older["canaries"]["planted"] == older["records"]["members"]["canaries"] == 2


def test_what_cannot_be_done_is_refused_before_anything_is(folder, table, monkeypatch):
    monkeypatch.setattr("ult.audit.model.audit.scores", lambda *_, **__: pytest.fail("it was at work already"))
    monkeypatch.setattr("ult.audit.model.audit.blind", lambda *_, **__: pytest.fail("it was at work already"))
    for asked in ({"canaries": 4}, {"shadows": 3}):
        with pytest.raises(InvalidConfig):
            audit_model(folder / "run", folder / "in", folder / "out", table=table, **asked, **QUICK)


def test_bounds_on_epsilon_are_of_records_that_stand_there_once(folder, table, monkeypatch):
    seen = []

    def proofs(*pair, **_):
        seen.append([len(one) for one in pair])
        return {}

    monkeypatch.setattr("ult.audit.model.audit.proofs", proofs)
    audit_model(folder / "run", folder / "in", folder / "out", table=table, **QUICK)
    assert set(map(tuple, seen)) == {(11, 19)}


def test_both_sides_differ_without_the_run(tmp_path):
    low, high = (write(tmp_path / name, [r for r in counting(200, **of) if len(r) > 4]) for name, of in
                 (("low", {"high": 50}), ("high", {"low": 46})))  # fmt: skip
    train(low, tmp_path / "run", Recipe(**STEP))
    found, _ = audit_model(tmp_path / "run", low, high, **QUICK)
    assert found["blind"]["auc_interval"][0] > 0.9
    assert found["blind"]["shift"]
    assert any("told apart without the run" in note for note in found["notes"])


def test_of_one_source_they_do_not():
    """By length alone, by pairs alone, and by nothing: draws from one source show a shift as rarely as promised."""
    rng = np.random.default_rng(0)

    def drawn(rows, longest=15):
        return [Record(rng.integers(32, 64, rng.integers(10, longest)).astype(np.uint32)) for _ in range(rows)]

    longer = drawn(150, 30)
    assert blind(longer, drawn(150))["shift"]
    rising = [Record(np.arange(s, s + 12, dtype=np.uint32)) for s in rng.integers(32, 64, 150)]
    shuffled = [Record(rng.permutation(np.arange(s, s + 12)).astype(np.uint32)) for s in rng.integers(32, 64, 150)]
    assert blind(rising, shuffled)["auc_interval"][0] > 0.8
    shifts = [blind(drawn(40), drawn(40), seed=k)["shift"] for k in range(20)]
    assert sum(shifts) <= 2


def test_a_classifier_is_audited_by_its_labels(tmp_path):
    """Each class has every kind of record, so that only memory knows a member's."""
    many = [random_records(24, seed) for seed in (1, 2)]
    sides = [write(tmp_path / name, records, kept={"label": ["a", "b"] * 12})
             for name, records in zip(("in", "out"), many, strict=True)]  # fmt: skip
    options = {"task": "classify", "steps": 60, "batch_size": 8, "context": 16, "learning_rate": 3e-3}
    train(sides[0], tmp_path / "run", Recipe(**options))
    found, curves = audit_model(tmp_path / "run", *sides, reference_runs=[], **QUICK)
    assert (found["task"], found["extraction"], found["bound"]) == ("classify", None, True)
    assert found["membership"]["loss"]["auc_interval"][0] > 0.5
    assert len(curves["loss"][0]) == 24
    with pytest.raises(TrainingError, match="'c' in a record"):
        audit_model(tmp_path / "run", sides[0], write(tmp_path / "c", many[1], kept={"label": ["c"] * 24}), **QUICK)


def test_pairs_are_audited_by_their_targets(tmp_path):
    """Targets that nothing but memory predicts from their sources."""
    sources, targets = random_records(24, 1), random_records(24, 2)
    paths = [write(tmp_path / f"{name}{k}", many[k::2], table=of) for name, many, of in
             (("s", sources, OTHER), ("t", targets, OTHER)) for k in (0, 1)]  # fmt: skip
    options = {"task": "seq2seq", "steps": 80, "batch_size": 12, "context": 16, "learning_rate": 4e-3}
    train(paths[0], tmp_path / "run", Recipe(**options), targets=paths[2])
    both = {"targets": paths[2], "nonmember_targets": paths[3]}
    found, _ = audit_model(tmp_path / "run", paths[0], paths[1], **both, **QUICK)
    assert found["membership"].keys() == {"loss", "min-k", "min-k++"}
    assert found["membership"]["loss"]["auc_interval"][0] > 0.5
    assert found["extraction"]["nonmembers"]["greedy"]["exact"] == 0
    assert found["extraction"]["members"]["greedy"]["passages"] == 12
    assert found["subject"]["members"] == [Shards(path).manifest.digest for path in (paths[0], paths[2])]
    with pytest.raises(InvalidConfig, match="--nonmember-targets"):
        audit_model(tmp_path / "run", paths[0], paths[1], targets=paths[2], **QUICK)


def test_what_cannot_be_audited(audited, tmp_path):
    for wrong, error in (({"table": OTHER}, WrongTable), ({"size": 80}, WrongVocabulary)):
        with pytest.raises(error):
            read_sides(Run.open(audited / "leak"), audited / "leak.shards",
                       write(tmp_path / error.__name__, random_records(4, 0), **wrong))  # fmt: skip
    with pytest.raises(InvalidConfig, match="trained on members"):
        audit_model(audited / "leak", audited / "leak.shards", audited / "others",
                    reference_runs=[audited / "clean", audited / "leak"], **QUICK)  # fmt: skip
