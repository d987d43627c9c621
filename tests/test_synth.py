"""`ult synth`: every record decodes, every look is charged, a kill loses nothing, and what is made says how."""

import csv
import io
import json
import os
import re
import signal

import numpy as np
import pytest

import ult
from ult import synth
from ult.data.columns.declared import MISSING
from ult.data.images.image import packed
from ult.data.source import Source
from ult.errors import FormatError, InvalidConfig, MissingSource, OutputError, OutputExists
from ult.privacy import concentrated
from ult.privacy.accountant import default_delta
from ult.public.guarantee import Spent
from ult.public.shards import Shards
from ult.public.synthetic import Synthetic, beside, digest_of
from ult.synth import account, labels, plan, vote
from ult.synth.stages import Synthesis

pytestmark = pytest.mark.slow
SHORT = {"steps": 2, "batch_size": 8, "encrypt": False, "workers": 1}
FORMS = {"sex": "category", "age": "number", "note": "text"}
PRIVATE = {**SHORT, "epsilon": 8.0, "forms": FORMS}


def rows(n, seed=0):
    rng = np.random.default_rng(seed)
    return [["fm"[rng.integers(2)], str(rng.integers(20, 90)), "no fever" * int(rng.integers(2))] for _ in range(n)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Files of every modality."""
    root = tmp_path_factory.mktemp("synth")
    with (root / "people.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["sex", "age", "note"], *rows(64)])
    with (root / "visits.csv").open("w", newline="") as file:
        lines = [[f"p{n // 3}", *row] for n, row in enumerate(rows(90, 1))]
        csv.writer(file).writerows([["patient", "sex", "age", "note"], *lines])
    (root / "notes.txt").write_text("".join(f"patient {n % 7} has no fever\n" for n in range(60)))
    (root / "molecules.txt").write_text("CCO\nc1ccccc1\nCC(=O)O\nCN1C=NC2=C1\n".replace("CN1C=NC2=C1", "CNC") * 15)
    rng = np.random.default_rng(0)
    np.savez(root / "waves.npz", series=rng.normal(size=(40, 12)).cumsum(1))
    (root / "digits").mkdir()
    for n in range(24):
        data, suffix = packed(rng.integers(0, 255, (8, 8), np.uint8))
        (root / "digits" / f"{n}{suffix}").write_bytes(data)
    return root


def made(folder, out, name="people.csv", n=6, **options):
    return synth.synthesise(folder / name, out, rows=n, **{**SHORT, **options})


CODECS = {
    "text/bytes": ("notes.txt", "out.txt", {}),
    "molecule/smiles": ("molecules.txt", "out.parquet", {"codec": "molecule/smiles"}),
    "series/mulaw": ("waves.npz", "out.npz", {"codec": "series/mulaw"}),
    "series/levels": ("waves.npz", "out.npz", {"codec": "series/levels"}),
    "image/dct": ("digits", "out", {"codec": "image/dct"}),
    "record/columns": ("people.csv", "out.parquet", {}),
    "rows of a person": ("visits.csv", "out.csv", {"unit": "patient"}),
}


@pytest.mark.parametrize("name", CODECS)
def test_all_that_is_written_decodes_and_has_the_form_that_came_in(name, folder, tmp_path):
    """Of whatever a model has learnt: this one has seen two steps."""
    inputs, out, options = CODECS[name]
    done = made(folder, tmp_path / out, inputs, **options)
    told = Synthetic.read(tmp_path / out)
    assert done.told == told
    assert (told.records, told.epsilon, told.account) == (6, None, None)
    assert told.digest == digest_of(tmp_path / out)
    assert "RED" in done.remarks()[0]
    codec = options.get("codec", "text/bytes" if out == "out.txt" else "record/columns")
    assert told.codec == codec
    more = {"unit": options.get("unit", ""), "encode_identifier": ("note", "age", "sex")} if "record" in codec else {}
    fitted = ult.fit(tmp_path / out, tmp_path / "t.ult", codec=codec, encrypt=False, workers=1, min_records=1, **more)
    assert fitted.table.records == 6
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted([out, beside(out).name, "t.ult"])


def test_a_codec_without_a_grammar_is_refused_and_so_is_an_output_that_cannot_hold_the_records(folder, tmp_path):
    with pytest.raises(InvalidConfig, match="text/bwt has no grammar"):
        made(folder, tmp_path / "out.txt", "notes.txt", codec="text/bwt")
    with pytest.raises(OutputError, match=r"which holds no text records"):
        made(folder, tmp_path / "out.npz", "notes.txt")
    with pytest.raises(InvalidConfig, match="does not tell what its records are"):
        made(folder, tmp_path / "out.npz", "waves.npz")
    (tmp_path / "out.csv").write_text("precious")
    with pytest.raises(OutputExists, match="exists already"):
        made(folder, tmp_path / "out.csv")
    assert [one.name for one in tmp_path.iterdir()] == ["out.csv"]


# ---- one account


def looked(patch):
    """What the records were read for, by name; an empty one was read for nothing that is on the account."""
    found = []
    for kind, names in ((Source, ("batches", "pieces", "__iter__")), (Shards, ("parts", "ids", "to_arrow"))):
        for name in names:
            right = getattr(kind, name)

            def read(self, *args, right=right, **options):
                if not isinstance(self, Shards) or self.path.name == "shards":
                    found.append(account.reading())
                return right(self, *args, **options)

            patch.setattr(kind, name, read)
    return found


@pytest.fixture(scope="module")
def private(folder, tmp_path_factory):
    """What is said of a private synthesis, and what it read the records for."""
    with pytest.MonkeyPatch.context() as patch:
        found = looked(patch)
        out = tmp_path_factory.mktemp("private") / "out.csv"
        return made(folder, out, n=40, **PRIVATE).told, found, out.read_text()


def test_one_account_holds_every_look_and_no_more_than_was_promised(private):
    told, found, _ = private
    assert set(found) == {"the number of records", "the table", "encoding", "the training"}
    assert (told.epsilon, told.delta, told.unit) == (8.0, default_delta(64), "record")
    assert [name for name, *_ in told.parts] == ["the table", "the training"]  # 64 records do not tell a length
    assert sum(one for _, one, _ in told.parts) == pytest.approx(8.0)
    assert sum(one for *_, one in told.parts) == pytest.approx(told.delta)
    assert any("the number of records, 64" in one for one in told.public)
    assert "differential privacy for each record" in str(told.account)


def test_declared_numbers_are_written_in_plain_digits(private):
    """A run that has learnt little would write dozens of them and an exponent."""
    ages = [row["age"] for row in csv.DictReader(io.StringIO(private[2]))]
    assert len(ages) == 40
    assert not any(set("eE") & set(age) for age in ages if age not in MISSING)


@pytest.mark.parametrize("name", ["text/bytes", "image/dct"])
def test_a_promise_is_for_texts_and_images_too(name, folder, tmp_path):
    inputs, out, options = CODECS[name]
    told = made(folder, tmp_path / out, inputs, n=2, epsilon=8.0, **options).told
    assert (told.epsilon, [one for one, *_ in told.parts]) == (8.0, ["the table", "the training"])


def test_a_stage_that_reads_records_again_without_charge_would_be_seen(folder, tmp_path, monkeypatch):
    found, right = looked(monkeypatch), Synthesis.write

    def planted(self, *args):
        list(self.records.source.batches())
        return right(self, *args)

    monkeypatch.setattr(Synthesis, "write", planted)
    made(folder, tmp_path / "out.csv", **PRIVATE)
    assert "" in found


def test_the_account_refuses_what_is_not_covered():
    one = account.Account(Spent(1.0, 1e-5))
    with one.reading("a", Spent(0.6, 0.0)):
        assert account.reading() == "a"
    for cost, match in (
        (Spent(0.5, 0.0), "costs epsilon 0.5"),
        (Spent(0.1, 2e-5), "costs delta"),
        (None, "nothing was charged"),
    ):
        with pytest.raises(InvalidConfig, match=match), one.reading("b", cost):
            pass
    assert [name for name, *_ in one.parts] == ["a"]


def test_what_would_be_read_without_charge_is_refused(folder, tmp_path):
    with pytest.raises(InvalidConfig, match="expected to be told the kind"):
        made(folder, tmp_path / "out.csv", epsilon=8.0)
    found = ult.describe(folder / "people.csv")
    with pytest.raises(InvalidConfig, match="was inferred from records"):
        made(folder, tmp_path / "out.csv", epsilon=8.0, schema=found.schema)
    with pytest.raises(InvalidConfig, match=r"range|calibrate|low"):
        made(folder, tmp_path / "out.npz", "waves.npz", codec="series/mulaw", epsilon=8.0)
    with pytest.raises(InvalidConfig, match="delta was given without an epsilon"):
        made(folder, tmp_path / "out.csv", delta=1e-5)
    with pytest.raises(InvalidConfig, match="below 1 / 64"):
        made(folder, tmp_path / "out.csv", **{**PRIVATE, "delta": 0.1})
    assert not list(tmp_path.iterdir())


def test_sizes_depend_on_public_numbers_alone(private, folder, tmp_path):
    """One record more that is far from the others changes nothing that decides a training."""
    lines = (folder / "people.csv").read_text()
    (tmp_path / "more.csv").write_text(lines.replace(lines.splitlines()[1], f"x,{10**9},{'long ' * 200}", 1))
    one, *_ = private
    other = made(tmp_path, tmp_path / "other.csv", "more.csv", **PRIVATE).told
    assert one.shape == other.shape
    assert (one.parts, one.public) == (other.parts, other.public)


# ---- labels


def sexes(path):
    return [row["sex"] for row in csv.DictReader(io.StringIO(path.read_text()))]


def test_records_are_written_for_labels_as_often_as_asked_or_as_there_are(folder, tmp_path):
    made(folder, tmp_path / "asked.csv", n=9, condition="sex", labels={"m": 7, "f": 2})
    assert sorted(sexes(tmp_path / "asked.csv")) == ["f", "f", *"mmmmmmm"]
    assert (tmp_path / "asked.csv").read_text().startswith("sex,age,note\n")
    made(folder, tmp_path / "as-real.csv", "visits.csv", n=9, condition="sex", drop=["patient"])
    real = sexes(folder / "visits.csv").count("m") / 90
    assert abs(sexes(tmp_path / "as-real.csv").count("m") - 9 * real) <= 1


def test_labels_cost_their_counts_and_have_to_be_told(folder, tmp_path):
    with pytest.raises(InvalidConfig, match="which labels 'sex' has would be read from the records"):
        made(folder, tmp_path / "out.csv", condition="sex", **PRIVATE)
    with pytest.raises(InvalidConfig, match="5 records of labels were asked for, and 6 rows"):
        made(folder, tmp_path / "out.csv", condition="sex", labels={"m": 5})
    with pytest.raises(InvalidConfig, match=r"no single cell 'risk'; they have one of: sex, age, note"):
        made(folder, tmp_path / "out.csv", condition="risk", labels=["low"])
    with pytest.raises(InvalidConfig, match="text/bytes records have no column 'sex'"):
        made(folder, tmp_path / "out.txt", "notes.txt", condition="sex")
    told = made(folder, tmp_path / "out.csv", condition="sex", labels=["m", "f"], **PRIVATE).told
    costs = {name: epsilon for name, epsilon, _ in told.parts}
    assert costs["how many have each label"] == pytest.approx(plan.COUNTS_SHARE * 8.0)
    assert sum(costs.values()) == pytest.approx(8.0)


def test_the_noise_of_counts_is_what_was_promised():
    """A count k and k + 1 give each number with probabilities that differ by e^epsilon at most, and by that much."""
    draw = np.random.default_rng(0)
    found = np.array([labels.noisy({"a": 100}, 1.0, draw)["a"] for _ in range(20_000)]) - 100
    assert (found == 1).mean() / (found == 0).mean() == pytest.approx(np.exp(-1), rel=0.1)
    assert (found == -2).mean() / (found == -1).mean() == pytest.approx(np.exp(-1), rel=0.1)
    assert labels.noisy({"a": 0}, 1e-3)["a"] >= 0


# ---- votes


def test_members_vote_on_each_id_within_a_budget_that_is_said_in_front(folder, tmp_path, capfd):
    heard = []
    options = {**PRIVATE, "method": "vote", "members": 4, "notice": heard.append, "context": 24}
    with pytest.raises(InvalidConfig, match=r"the budget is of ids, and 2,000 records may have 46,000"):
        made(folder, tmp_path / "out.csv", n=2000, **options)
    assert not list(tmp_path.iterdir())
    told = made(folder, tmp_path / "out.csv", n=2, **options).told
    assert (told.method, told.draw["members"], told.draw["ids"]) == ("vote", 4, 46)
    assert [name for name, *_ in told.parts] == ["the table", "the training", "the votes"]
    assert any("at most 46 ids are drawn" in one for one in heard)
    assert any("2 steps of 8 records each" in one for one in heard)
    assert len(re.findall(r"^members/\d: .*, 2 steps in", capfd.readouterr().err, re.MULTILINE)) == 4, "as --steps says"
    for wrong, match in (
        ({"epsilon": None, "forms": {}}, "without one a run writes as it is"),
        ({"members": 60}, "each with 10 records"),
        ({"method": "train"}, "members were given, who vote"),
        ({"method": "ask"}, "expected one of train, vote"),
    ):
        with pytest.raises(InvalidConfig, match=match):
            made(folder, tmp_path / "other.csv", n=2, **{**options, **wrong})


def test_one_member_moves_a_draw_by_no_more_than_was_charged():
    """Whatever a member says before and after: the range of the logarithms of the draw's chances, of which zCDP is."""
    rng, cost = np.random.default_rng(0), Spent(4.0, 1e-5)
    budget = vote.budget_of(cost, rows=10, room=20, members=8, temperature=1.0, records=800)
    spent = 0.0
    for _ in range(200):
        logits = rng.normal(size=(9, 30)) * rng.choice([1, 30])
        other = logits.copy()
        other[3] = rng.normal(size=30) * rng.choice([1, 30])
        chances = []
        for one in (logits, other):
            found = vote.scores(one, budget.clip)
            chances.append(found - np.logaddexp.reduce(found))
        spent = max(spent, np.ptp(chances[0] - chances[1]))
    assert spent <= 4 * budget.clip / budget.members * (1 + 1e-9)
    assert spent > 2 * budget.clip / budget.members  # a charge of half would be too little
    rho = concentrated.rho_of(cost.epsilon, cost.delta)
    assert budget.ids * (4 * budget.clip / budget.members) ** 2 / 8 == pytest.approx(rho, rel=1e-6)


def test_draws_of_votes_are_as_likely_as_they_should_be():
    found = np.bincount([vote.drawn(np.log([0.7, 0.2, 0.1])) for _ in range(4000)], minlength=3) / 4000
    assert found == pytest.approx([0.7, 0.2, 0.1], abs=0.04)
    assert vote.drawn(np.array([0.0, -190.0])) == 0


def test_a_report_is_written_beside_and_what_cannot_have_one_is_refused(folder, tmp_path):
    with pytest.raises(InvalidConfig, match="a report is of tables and texts"):
        made(folder, tmp_path / "out.npz", "waves.npz", codec="series/mulaw", report=tmp_path / "page.html")
    made(folder, tmp_path / "out.csv", report=tmp_path / "page.html")
    assert "<html" in (tmp_path / "page.html").read_text()


# ---- after a kill


def killed(call, at):
    """Call `call(notice)` in a process of its own, which is killed at the notice numbered `at`."""
    pid = os.fork()
    if not pid:
        try:
            left = [at]

            def notice(_):
                left[0] -= 1
                if left[0] < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

            call(notice)
        finally:
            os._exit(3)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_after_kills_the_same_call_ends_in_the_same_bytes(folder, tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    calls = [
        lambda notice, name=name: made(folder, tmp_path / name / "out.csv", notice=notice) for name in ("one", "other")
    ]
    calls[0](lambda _: None)
    for _ in range(4):  # of the stages that are left, the second: each call finishes one
        assert killed(calls[1], 1) == -signal.SIGKILL
        assert not (tmp_path / "other/out.csv").exists()
    calls[1](lambda _: None)
    for name in ("out.csv", "out.csv.synth.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    assert len(list((tmp_path / "other").iterdir())) == 2


def test_a_private_synthesis_goes_on_with_the_table_and_the_noise_that_it_has(folder, tmp_path):
    options = {**PRIVATE, "secure_random": False}
    assert killed(lambda notice: made(folder, tmp_path / "out.csv", notice=notice, **options), 4) == -signal.SIGKILL
    work = tmp_path / ".out.csv.work.partial"
    fingerprint = ult.Table.load(work / "table.ult").fingerprint
    with pytest.raises(OutputExists, match=r"asked for with other rows"):
        made(folder, tmp_path / "out.csv", n=7, **options)
    done = made(folder, tmp_path / "out.csv", **options).told
    assert (done.table, done.conditions) == (fingerprint, ("if nobody knows the seed of its noise",))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out.csv", "out.csv.synth.json"]


# ---- parts


def test_a_context_is_learnt_by_how_many_records_are_longer():
    found = np.concatenate([np.full(990, 30), np.full(10, 900)])
    from ult.synth.lengths import plain_context, private_context

    assert [private_context(found, 100.0) for _ in range(5)] == [32] * 5
    assert plain_context(found) == 1024
    assert len({private_context(found, 1e-3) for _ in range(40)}) > 3
    assert plan.learns_context(Spent(8.0, 1e-5), 20_000)
    assert not plan.learns_context(Spent(1.0, 1e-5), 2_000)


def test_what_lies_beside_is_checked(tmp_path):
    with pytest.raises(MissingSource, match="nothing says how"):
        Synthetic.read(tmp_path / "x.csv")
    one = Synthetic(
        records=2, digest="d", method="train", codec="text/bytes", table="t", run="r", epsilon=1.0, delta=1e-5
    )
    for wrong in (
        {"epsilon": -1},
        {"epsilon": None},
        {"parts": [["a", 1]]},
        {"parts": [["a", 2, 0]]},
        {"records": "2"},
        {"format": "other/1"},
    ):
        beside(tmp_path / "x.csv").write_text(json.dumps({**one.document(), **wrong}))
        with pytest.raises(FormatError):
            Synthetic.read(tmp_path / "x.csv")
    beside(tmp_path / "x.csv").write_text(one.to_json())
    assert Synthetic.read(tmp_path / "x.csv") == one
