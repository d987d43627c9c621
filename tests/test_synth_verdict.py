"""What the verdict on synthetic records rests on: each line is crossed alone, by figures that are otherwise clean."""

import copy

import pytest

from evidence import rates
from ult.audit.release.finding import verdict
from ult.audit.synth.judge import FEW, judge, unread


def attack(*args, **options):
    """What an attack tells, and at which rate others than members may be taken for some."""
    found = rates(*args, **options)
    for one in found["tpr"]:
        one["others_above_interval"] = [0.0, 0.02]
    return found


def clean():
    """An audit in which nothing is found."""
    passage = {"real": 0, "held_out": 0, "p_value": 1.0}
    return {
        "claim": {"by": "told", "epsilon": 1.0, "delta": 1e-5, "unit": "record", "wrong": ""},
        "fidelity": {"invalid": 0, "of": 600},
        "sides": {"held_out": {"compared": 600}},
        "privacy": {
            "records": {"copied": 0, "of": 600, "copied_of_held_out": 0, "real_only": 0, "held_out_only": 0,
                        "p_value": 1.0},
            "values": {"real_written": 1, "real": 9, "held_out_written": 1, "held_out": 9, "worst": {"column": "age"},
                       "p_value": 1.0},
            "extremes": {"written": 0, "telling": 4, "p_value": 1.0,
                         "ends": [{"end": "least", "column": "age", "p_value": 1.0}]},
            "passages": [{"column": "note", "real": 600, "held_out": 600, "texts": 600, "p_value": 1.0,
                          "lengths": [{"words": words, **passage} for words in (8, 16)]}],
            "membership": {"blind": {"auc": 0.5, "auc_interval": [0.47, 0.53], "shift": False},
                           "attacks": {"nearest": attack(5), "model": attack(4)}},
        },
        "canaries": {"canaries": 3, "mean": 1.4, "power": 3.0, "written": 0, "p_value": 0.5},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("at", "changes", "level", "topic"),
    [
        ("", {}, "green", ""),
        ("", {"claim": None}, "red", "guarantee"),
        ("claim", {"wrong": "it is of another file"}, "red", "guarantee"),
        ("claim", {"epsilon": 10.5}, "amber", "guarantee"),
        ("", {"privacy": None}, "amber", "copies"),
        ("fidelity", {"invalid": 1}, "amber", "invalid"),
        ("privacy records", {"p_value": 0.009}, "amber", "copies"),
        ("privacy records", {"p_value": 0.0009}, "red", "copies"),
        ("privacy values", {"p_value": 0.009}, "amber", "values"),
        ("privacy values", {"p_value": 0.0009}, "red", "values"),
        ("privacy extremes", {"p_value": 0.009, "written": 1}, "amber", "extremes"),
        ("privacy extremes", {"p_value": 0.0009, "written": 1}, "red", "extremes"),
        ("privacy passages 0", {"p_value": 0.009}, "amber", "passages"),
        ("privacy passages 0", {"p_value": 0.0009}, "red", "passages"),
        ("privacy passages 0 lengths 1", {"real": 1}, "amber", "passages"),
        ("privacy passages 0 lengths 1", {"real": 1, "held_out": 5}, "green", ""),
        ("privacy", {"membership": None}, "amber", "membership"),
        ("privacy membership blind", {"shift": True}, "amber", "shift"),
        ("privacy membership attacks", {"model": attack(20)}, "amber", "membership"),
        ("privacy membership attacks", {"model": attack(60)}, "red", "membership"),
        ("privacy membership attacks", {"model": attack(5, auc=0.58)}, "amber", "membership"),
        ("privacy membership attacks", {"model": attack(5, auc=0.68)}, "amber", "membership"),
        ("privacy membership attacks", {"model": attack(5, auc=0.75)}, "red", "membership"),
        (
            "privacy membership attacks",
            {"model": attack(0, auc=0.72, members=30, nonmembers=30)},
            "amber",
            "membership",
        ),
        ("privacy membership attacks", {"model": attack(0, nonmembers=99, auc=0.4)}, "amber", "membership"),
        ("privacy membership attacks", {"model": attack(5, epsilon=1.1)}, "red", "bound"),
        ("privacy membership attacks", {"model": attack(5, epsilon=0.9)}, "green", ""),
        ("canaries", {"p_value": 0.009}, "amber", "canaries"),
        ("canaries", {"p_value": 0.0009}, "red", "canaries"),
        ("canaries", {"written": 1}, "red", "canaries"),
    ],
)
def test_one_finding_is_enough(at, changes, level, topic):
    found = clean()
    place = found
    for step in at.split():
        place = place[int(step) if step.isdigit() else step]
    place.update(copy.deepcopy(changes))
    told = judge(found)
    assert verdict(told) == level
    assert {one.topic for one in told if one.level == level} == ({topic} if topic else {one.topic for one in told})


def test_with_few_held_out_records_copies_are_red_or_not_told():
    found = clean()
    found["sides"]["held_out"]["compared"] = FEW - 1
    assert {one.topic for one in judge(found) if one.level == "amber" and not one.measured} == {
        "copies", "values", "extremes", "passages"}  # fmt: skip
    found["privacy"]["records"]["p_value"] = 0.0009
    assert {one.topic for one in judge(found) if one.level == "red"} == {"copies"}


def test_a_claim_is_contradicted_by_records_of_one_source_alone():
    """A claim that is false is no guarantee beside; of sides that differ in themselves an attack proves nothing."""
    found = clean()
    found["privacy"]["membership"]["attacks"]["model"] = attack(5, epsilon=1.1)
    assert "guarantee" not in {one.topic for one in judge(found)}
    found["privacy"]["membership"]["blind"]["shift"] = True
    assert {one.topic: one.level for one in judge(found)}["bound"] == "green"
    found["claim"]["wrong"] = "it is of another file"
    assert "bound" not in {one.topic for one in judge(found)}
    found["claim"] = None
    assert "bound" not in {one.topic for one in judge(found)}


def test_a_text_that_is_red_by_its_count_is_not_called_untold_for_its_length():
    found = clean()
    found["privacy"]["passages"][0].update(p_value=0.0009)
    found["privacy"]["passages"][0]["lengths"][1]["real"] = 1
    assert verdict(judge(found)) == "red"


def test_columns_that_nothing_was_beside_are_amber():
    assert [(one.level, one.topic) for one in unread(["note"])] == [("amber", "columns")]
    assert not unread([])


def test_what_there_is_nothing_of_is_not_asked():
    found = clean()
    found["privacy"]["values"]["real"] = found["privacy"]["extremes"]["telling"] = 0
    found["canaries"] = None
    assert {one.topic for one in judge(found)}.isdisjoint({"values", "extremes", "canaries"})


def test_a_rate_may_not_be_above_what_the_others_may_have_it_by():
    """Of few nonmembers one per cent may be ten: then a rate of eight shows nothing."""
    found = clean()
    one = found["privacy"]["membership"]["attacks"]["model"] = attack(60)
    one["tpr"][1]["others_above_interval"] = [0.0, 0.2]
    assert verdict(judge(found)) == "amber"


def test_of_few_nonmembers_a_rate_is_not_told_unless_it_is_red():
    def measured(hits):
        found = clean()
        few = attack(hits, nonmembers=99, auc=0.4)
        found["privacy"]["membership"]["attacks"] = {"nearest": few, "model": few}
        return [one.measured for one in judge(found) if "taken for real ones" in one.found]

    assert (measured(0), measured(60)) == ([False], [True])
