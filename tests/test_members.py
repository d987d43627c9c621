"""Runs with members: each is a training of its own, all are averaged, and every verb says what it does with them."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from toy import counting, same, two_classes, weights, write
from ult.cli import app
from ult.errors import FormatError, InvalidConfig, OutputExists, TrainingError
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.callbacks.progress import Progress
from ult.trainer.datasets.parting import part_of
from ult.trainer.evaluate import evaluate
from ult.trainer.generate import generate
from ult.trainer.members import member
from ult.trainer.models.ensemble import Ensemble
from ult.trainer.models.load import load_trained
from ult.trainer.models.together import load_predictor, together
from ult.trainer.recipe import Recipe
from ult.trainer.scoring import Endings, Scorer
from ult.trainer.tasks.classify import chances_of, unlabelled
from ult.trainer.tasks.predict import predict_labels
from ult.trainer.train import train

pytestmark = pytest.mark.slow

SHORT = {"steps": 6, "batch_size": 4, "context": 16}
TINY = {**SHORT, "checkpoint_every": 6}
HELD = {**SHORT, "evaluate_every": 3}
PARTED = Recipe(**HELD, members=2, member_records="disjoint")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Records, and runs with members on all of them and on disjoint ones."""
    root = tmp_path_factory.mktemp("members")
    write(root / "shards", counting(80))
    write(root / "held", counting(20, seed=1))
    train(root / "shards", root / "parted", PARTED, validation=root / "held")
    train(root / "shards", root / "alike", Recipe(**TINY, members=3, seed=5))
    return root


def test_each_member_is_the_run_of_a_training_of_its_own(folder, tmp_path):
    single = Recipe(**HELD, part="1/2", seed=1)
    assert member(PARTED, 1) == single
    train(folder / "shards", tmp_path / "run", single, validation=folder / "held")
    assert same(weights(tmp_path / "run"), weights(folder / "parted/members/1"))
    assert not same(weights(folder / "alike/members/0"), weights(folder / "alike/members/1"))


def test_which_member_saw_a_record_is_decided_by_its_ids_and_told_by_no_record(folder, tmp_path):
    records = list(Shards(folder / "shards").ids())
    parts = [part_of(ids, 2) for ids in records]
    told = Run.open(folder / "parted").metrics["members"]
    assert told == {"count": 2, "of": "disjoint", "records": [parts.count(0), parts.count(1)]}
    assert [one.metrics["part"] for one in Run.open(folder / "parted").each()] == [
        {"part": f"{k}/2", "records": parts.count(k)} for k in range(2)
    ]
    gone = parts.index(1)  # a record that member 0 never saw is left out: member 0 stays, bit for bit
    fewer = write(tmp_path / "fewer", [ids for k, ids in enumerate(records) if k != gone])
    own = write(tmp_path / "own", [ids for ids, part in zip(records, parts, strict=True) if part == 0])
    train(fewer, tmp_path / "run", member(PARTED, 0), validation=folder / "held")
    train(own, tmp_path / "alone", Recipe(**HELD), validation=folder / "held")
    for name in ("run", "alone"):
        assert same(weights(tmp_path / name), weights(folder / "parted/members/0"))


def test_parts_are_even_and_stay_what_they_are():
    """The assignment is a promise: a record of a run that is to forget must be found in its member for ever."""
    parts = np.array([part_of(np.array([k]), 7) for k in range(32, 7032)])
    assert np.bincount(parts).min() > 900
    assert [part_of(np.array([32, 33, k], np.uint32), 1000) for k in (34, 35)] == [226, 611]
    assert part_of([], 3) == part_of(np.empty(0, np.uint32), 3)


def test_probabilities_are_averaged_not_logits(folder):
    run = Run.open(folder / "alike")
    whole, each = load_predictor(run), [load_trained(one) for one in run.each()]
    assert isinstance(whole, Ensemble)
    ids = torch.tensor([[2, 40, 41, 42]])
    with torch.inference_mode():
        mean = torch.stack([one(input_ids=ids).logits.softmax(-1) for one in each]).mean(0)
        found = whole(input_ids=ids).logits
    torch.testing.assert_close(found.softmax(-1), mean)
    torch.testing.assert_close(found.exp(), mean)
    bits = [evaluate(one.path, folder / "held")["bits"] for one in run.each()]
    assert evaluate(folder / "alike", folder / "held")["bits"] < np.mean(bits)


def test_members_write_and_score_with_their_own_caches(folder):
    run = Run.open(folder / "alike")
    model, (written,) = load_predictor(run), generate(run, temperature=0, max_new=8)
    ids = [2]
    for _ in range(8):
        with torch.inference_mode():
            scores = model(input_ids=torch.tensor([ids])).logits[0, -1].tolist()
        ids.append(max([2, *range(32, 64)], key=scores.__getitem__))
    assert written.tolist() == ids[1 : 1 + len(written)]
    start, ends = np.array([40, 41], np.uint32), [np.array([42, 43, 2]), np.array([50, 51, 2])]
    (found,), _ = Scorer(run).score([Endings(start, ends)])
    with torch.inference_mode():
        for end, nats in zip(ends, found, strict=True):
            log = model(input_ids=torch.tensor([[2, 40, 41, *end[:-1]]])).logits[0, 2:]
            assert nats == pytest.approx(float(log[range(3), end.tolist()].sum()), abs=1e-4)


def test_labels_that_a_member_never_saw_are_impossible_to_it(tmp_path):
    two_classes(tmp_path / "a", 32)
    records = list(Shards(tmp_path / "a").ids())
    labels = ["low", "high"] * 16
    labels[0] = labels[1] = "rare"  # in one member's part or the other's, or both
    write(tmp_path / "b", records, kept={"label": labels})
    train(tmp_path / "b", tmp_path / "run", Recipe(**TINY, task="classify", members=2, member_records="disjoint"))
    run = Run.open(tmp_path / "run")
    assert run.classes == ["high", "low", "rare"]
    data = unlabelled(run, load_predictor(run), [Shards(tmp_path / "b")], tmp_path / "packed")
    means = np.zeros((32, 3), np.float32)
    for one in run.each():
        known = [run.classes.index(label) for label in one.classes]
        means[:, known] += chances_of(load_trained(one), replace(data, classes=one.classes), 8) / 2
    assert 2 in [len(one.classes) for one in run.each()]
    found = predict_labels(run, tmp_path / "b", tmp_path / "found.csv")
    np.testing.assert_allclose(found.probabilities, means, atol=1e-6)
    assert found.values == ("high", "low", "rare")
    assert evaluate(tmp_path / "run", tmp_path / "b", bag=tmp_path / "b")["bag"]["accuracy"] > 0.5


def test_numbers_are_averaged_in_their_own_units(tmp_path):
    records = counting(24)
    write(tmp_path / "a", records, kept={"length": [100.0 * len(ids) for ids in records]})
    train(tmp_path / "a", tmp_path / "run", Recipe(**TINY, task="regress", members=2, member_records="disjoint"))
    each = [predict_labels(one, tmp_path / "a").expected for one in Run.open(tmp_path / "run").each()]
    np.testing.assert_allclose(predict_labels(tmp_path / "run", tmp_path / "a").expected, np.mean(each, 0), rtol=1e-5)
    assert Run.open(tmp_path / "run/members/0").scale != Run.open(tmp_path / "run/members/1").scale


def interrupt_after(steps, patch):
    """Interrupt a training after so many steps of all its members together."""
    advance, done = Progress.on_step_end, []

    def advance_or_stop(self, *given, **told):
        advance(self, *given, **told)
        done.append(1)
        if len(done) == steps:
            raise KeyboardInterrupt

    patch.setattr(Progress, "on_step_end", advance_or_stop)


def test_resumed_as_if_never_interrupted(folder, tmp_path, monkeypatch, capfd):
    """In the second member, when the first is finished."""
    with monkeypatch.context() as patch:
        interrupt_after(10, patch)
        with pytest.raises(KeyboardInterrupt) as caught:
            train(folder / "shards", tmp_path / "run", PARTED, validation=folder / "held")
    assert len(caught.value.__notes__) == 1
    assert not (tmp_path / "run").exists()
    with pytest.raises(OutputExists, match="unfinished"):
        train(folder / "shards", tmp_path / "run", PARTED, validation=folder / "held")
    with pytest.raises(TrainingError, match="other members"):
        train(folder / "shards", tmp_path / "run", Recipe(**HELD, members=3, member_records="disjoint"),
              validation=folder / "held", resume=True)  # fmt: skip
    capfd.readouterr()
    train(folder / "shards", tmp_path / "run", PARTED, validation=folder / "held", resume=True)
    said = capfd.readouterr().err
    assert "run: member 2 of 2, in members/1: seed 1, part 1/2 of the records" in said
    assert "0: done already" in said
    for k in range(2):
        assert same(weights(tmp_path / f"run/members/{k}"), weights(folder / f"parted/members/{k}"))
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert [path.name for path in sorted((tmp_path / "run/members").iterdir())] == ["0", "1"]
    before = (tmp_path / "run/members/0/model.safetensors").stat()
    train(folder / "shards", tmp_path / "run", PARTED, validation=folder / "held", resume="auto")
    assert (tmp_path / "run/members/0/model.safetensors").stat() == before


def test_force_replaces_members_and_nothing_else(folder, tmp_path):
    shutil.copytree(folder / "parted", tmp_path / "run")
    train(folder / "shards", tmp_path / "run", Recipe(steps=1, context=8), force=True)
    assert not (tmp_path / "run/members").exists()
    shutil.rmtree(tmp_path / "run")
    shutil.copytree(folder / "parted", tmp_path / "run")
    (tmp_path / "run/members/0/mine.txt").write_text("precious")
    with pytest.raises(OutputExists, match=r"members/0/mine\.txt"):
        train(folder / "shards", tmp_path / "run", Recipe(steps=1, context=8), force=True)


@pytest.mark.parametrize(
    "words",
    [
        "release {run} -o {out} --accept-risk none",
        "attach {run} --shards {shards} -o {out}",
        "attach {run} --learn {shards} --steps 1 -o {out}",
        "train {shards} --from {run} -o {out} --steps 1",
    ],
)
def test_what_takes_one_model_says_what_to_type(words, folder, tmp_path):
    places = {"run": folder / "parted", "out": tmp_path / "out", "shards": folder / "shards"}
    said = CliRunner().invoke(app, words.format(**places).split())
    assert isinstance(said.exception, InvalidConfig)
    assert f"{folder / 'parted'} holds 2 members, each a run of its own; expected one run" in said.exception.what
    assert f"{folder}/parted/members/0, or ult distil {folder}/parted --shards SHARDS" in said.exception.hint
    assert not list(tmp_path.iterdir())


def test_every_other_verb_takes_them(folder, tmp_path):
    done = CliRunner().invoke(app, ["inspect", str(folder / "parted")])
    assert "2 runs in members/, on disjoint records" in done.output
    assert "2 members, each 6 steps of 4 x 16 ids" in done.output
    done = CliRunner().invoke(app, ["inspect", str(folder / "parted/members/1")])
    assert "part of the records" in done.output
    assert "1/2, " in done.output
    card = (folder / "parted/README.md").read_text()
    assert "| members | 2, each a checkpoint in `members`: average them |" in card
    sides = ["--members", str(folder / "shards"), "--nonmembers", str(folder / "held")]
    done = CliRunner().invoke(
        app, ["audit", "model", str(folder / "alike"), *sides, "--json", str(tmp_path / "a.json"), "--samples", "0",
              "--prefix-ids", "2", "--suffix-ids", "2"]
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "a.json").read_text())
    assert told["subject"]["run"] == Run.open(folder / "alike").digest()
    assert told["extraction"]["members"]["greedy"]["passages"] > 0


def test_a_member_alone_is_audited_by_nobody_as_if_it_had_seen_all(folder):
    sides = ["--members", str(folder / "shards"), "--nonmembers", str(folder / "held")]
    for run, more, said in (
        ("parted/members/0", [], "was trained on part 0/2 of its shards' records"),
        ("alike", ["--shadows", "4"], "it has members"),
    ):
        done = CliRunner().invoke(app, ["audit", "model", str(folder / run), *sides, *more])
        assert isinstance(done.exception, InvalidConfig)
        assert said in done.exception.what


def test_options_that_do_not_go_together(folder, tmp_path):
    for options, said in (
        ({"members": 1}, "members is 1; expected an integer of at least 2"),
        ({"member_records": "disjoint"}, "member_records was given without members"),
        ({"members": 2, "epsilon": 8.0}, "members and epsilon were both given"),
        ({"members": 2, "part": "0/2"}, "part and members were both given"),
        ({"part": "2/2"}, "part is '2/2'; expected one of 0/OF to OF-1/OF"),
        ({"part": "½/2"}, "part is '½/2'"),
        ({"members": 2, "member_records": "disjoint", "mixture": (1, 2)}, "mixture was given with disjoint records"),
        ({"members": 2, "task": "seq2seq"}, "members was given for task 'seq2seq'"),
    ):
        with pytest.raises(InvalidConfig, match=said):
            Recipe(**options)
    write(tmp_path / "two", counting(2))
    with pytest.raises(TrainingError, match=r"part \d/9 holds none of the 2 records"):
        train(tmp_path / "two", tmp_path / "run", Recipe(**TINY, members=9, member_records="disjoint"))


def test_members_that_do_not_go_together_are_refused(folder, tmp_path):
    train(folder / "shards", tmp_path / "other", Recipe(steps=1, context=8))
    with pytest.raises(InvalidConfig, match="has another context than"):
        together([Run.open(folder / "alike"), Run.open(tmp_path / "other")])
    told = json.loads((folder / "alike/metrics.json").read_text())
    for members in ({"count": 0}, {"count": 2**20}, {"of": "same"}, 3):
        (tmp_path / "other/metrics.json").write_text(json.dumps(told | {"members": members}))
        with pytest.raises(FormatError, match="members is"):
            Run.open(tmp_path / "other")
