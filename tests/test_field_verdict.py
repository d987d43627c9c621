"""The verdict on what is read of each field: every line from both sides, with figures made by hand."""

import pytest

from evidence import code, fields
from ult.audit.release.verdict import judge_code
from ult.errors import FormatError


def judged(shared=0.0, **how):
    reference = {"digest": "dd" * 32, "records": 5_000, "bytes": 500_000, "shared": shared}
    found = judge_code(code(codec="record/columns", fields=fields(**how), reference=reference))
    return {one.topic: one for one in found}


@pytest.mark.parametrize(
    ("how", "level"),
    [
        ({"best": 0.5, "width": 0.02}, "green"),
        ({"best": 0.5, "width": 0.03}, "amber"),  # so few records that 6 % may be read
        ({"best": 0.60, "width": 0.01}, "amber"),
        ({"best": 0.61, "width": 0.005}, "red"),
        ({"best": 0.61, "width": 0.02}, "amber"),
        ({"best": 0.98, "blind": 0.95, "width": 0.001}, "red"),  # a field that a guess nearly knows
    ],
)
def test_a_field_is_judged_by_what_is_read_beyond_a_guess_without_the_ids(how, level):
    found = judged(**how)
    assert [found[topic].level for topic in ("fields", "form", "columns")] == [level] * 3


@pytest.mark.parametrize(("linked", "level"), [(0.0, "green"), (0.02, "amber"), (0.1, "red")])
def test_people_are_judged_by_how_many_are_linked(linked, level):
    assert judged(linked=linked)["people"].level == level


def test_what_was_not_measured_is_never_green():
    assert not judged(known=False)["columns"].measured
    assert "--known" in judged(known=False)["columns"].change
    assert not {one.topic: one for one in judge_code(code(codec="record/columns"))}["fields"].measured
    assert "fields" not in {one.topic for one in judge_code(code())}  # texts have no fields
    assert judged()["reference"].level == "green"
    assert not judged(shared=0.95)["reference"].measured
    assert "worst case" in judged(shared=0.95)["reference"].found


def test_changed_figures_are_refused():
    found = fields()
    found["attackers"][0]["fields"][0]["read"] = 0.1
    with pytest.raises(FormatError, match="contradicts itself"):
        judge_code(code(codec="record/columns", fields=found))
