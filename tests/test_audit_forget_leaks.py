"""The audit of forgetting: two runs may be equal bit for bit, and the record still be there."""

import shutil

import numpy as np
import pytest

import ult
from test_audit_forget import RECIPE, gone, levels, noise, said
from toy import SIZE, write
from ult.audit.forget.audit import audit_forget
from ult.audit.forget.said import unsearched
from ult.errors import InvalidConfig
from ult.public.run import Run
from ult.public.shards import Shards
from ult.trainer.recipe import Recipe
from ult.trainer.train import train


def edited(record, at=4):
    """A record of which one id is another."""
    found = record.copy()
    found[at] = 32 + (int(found[at]) - 31) % (SIZE - 32)
    return found


def proven(tmp_path, records, **told):
    """Shards of records of which the first two are forgotten, and the audit of a run that is the retrained one."""
    tmp_path.mkdir(exist_ok=True)
    write(tmp_path / "all", records)
    write(tmp_path / "others", noise(64, 1))
    rows = [gone(tmp_path / "all", [0, 1])]
    for name in ("forgot", "again"):
        train(tmp_path / "all", tmp_path / name, Recipe(**RECIPE | {"steps": 2}), without=rows, **told)
    run = said(tmp_path, "forgot", "said", "exact")
    return lambda *more: audit_forget(run, [tmp_path / "all", *more], rows, tmp_path / "others", tmp_path / "again")[0]


def test_a_near_copy_that_stays_is_no_forgetting(tmp_path):
    """It is what a byte more at the end of a text makes of it: no run that learned it has forgotten the record."""
    records = [np.tile(one, 3) for one in noise(48, 0)]
    plain = proven(tmp_path / "apart", records)()
    assert (plain["verdict"], plain["records"]["near"]) == ("green", [])
    found = proven(tmp_path, [*records, edited(records[0], 20)])()
    assert found["identical"]
    assert found["records"]["near"][0] >= 0.5
    assert levels(found)("nearer to one that stays") == [found["verdict"]] == ["amber"]


def test_shards_that_nobody_searched_may_hold_the_record(tmp_path):
    """A copy of shards has another digest, so none that names the record: both runs were trained, or chosen, by it."""
    records = noise(48, 0)
    write(tmp_path / "copy", records[1:])
    audit_of = proven(tmp_path, records, validation=tmp_path / "copy")
    found = audit_of()
    assert (found["identical"], found["proven"], found["unsearched"]) == (True, False, ["copy"])
    assert levels(found)("never saw the records") == [found["verdict"]] == ["amber"]
    with pytest.raises(InvalidConfig, match="equal copies of 2 stay in the shards"):
        audit_of(write(tmp_path / "both", records[:3]))
    searched = audit_of(tmp_path / "copy")
    assert levels(searched)("equal copies of 1") == [searched["verdict"]] == ["red"]
    train(tmp_path / "all", tmp_path / "more", Recipe(**RECIPE | {"steps": 1, "from_run": str(tmp_path / "forgot")}))
    assert unsearched(Run.open(tmp_path / "more"), [Shards(tmp_path / "copy")]) == ["all", "shards of forgot"]


def test_a_copy_is_no_retraining(tmp_path):
    """Neither of the run, nor of a member of it that it has from the run before."""
    records = noise(48, 0)
    write(tmp_path / "all", records)
    write(tmp_path / "others", noise(64, 1))
    one, recipe = (
        gone(tmp_path / "all", [3]),
        Recipe(**RECIPE | {"steps": 2, "members": 2, "member_records": "disjoint"}),
    )
    train(tmp_path / "all", tmp_path / "run", recipe)
    ult.forget.run(tmp_path / "run", tmp_path / "all", tmp_path / "run2", rows=one)
    train(tmp_path / "all", tmp_path / "again", recipe, without=[one])
    shutil.copytree(tmp_path / "run2", tmp_path / "copy")
    shutil.copytree(tmp_path / "again", tmp_path / "part")
    shutil.copytree(tmp_path / "run2/members/1", tmp_path / "part/members/1", dirs_exist_ok=True)
    place = (tmp_path / "all", [one], tmp_path / "others")
    assert audit_forget(tmp_path / "run2", *place, tmp_path / "again")[0]["identical"]
    for copied in ("copy/members/0", "part/members/1"):
        with pytest.raises(InvalidConfig, match=rf"{copied} is a copy of .*run2/members/., and was not trained again"):
            audit_forget(tmp_path / "run2", *place, tmp_path / copied.split("/")[0])
    audit_of = proven(tmp_path / "single", records)
    assert audit_of()["verdict"] == "green"
    shutil.rmtree(tmp_path / "single/again")
    shutil.copytree(tmp_path / "single/said", tmp_path / "single/again")
    with pytest.raises(InvalidConfig, match=r"single/again is a copy of .*said, and was not trained again"):
        audit_of()


@pytest.mark.parametrize(
    "name", ["said/checkpoint-60/optimizer.pt", "said/adapter/adapter_model.safetensors", ".said.partial/recipe.json"]
)
def test_what_else_lies_with_the_run_is_not_called_forgotten(tmp_path, name):
    audit_of = proven(tmp_path, noise(48, 0))
    assert (found := audit_of())["verdict"] == "green", found["findings"]
    (tmp_path / name).parent.mkdir(parents=True)
    shutil.copy(tmp_path / "forgot/model.safetensors", tmp_path / name)
    found = audit_of()
    assert levels(found)("holds more than the run") == [found["verdict"]] == ["amber"]
