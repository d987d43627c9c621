"""The rules of the verdict: the level that each figure of an audit gives."""

import copy

import pytest

from evidence import (
    TABLE,
    attack,
    audits,
    blind,
    canaries,
    candidate,
    code,
    extraction,
    model,
    rates,
    run_part,
    shards_part,
    table_audit,
)
from ult.audit.bounds import auc_interval
from ult.audit.code.evidence import BEFORE
from ult.audit.release.remembering import Promised
from ult.audit.release.verdict import judge, judge_code, judge_model, judge_table, verdict
from ult.errors import FormatError
from ult.public.guarantee import Guarantee


def levels(findings):
    return [finding.level for finding in findings]


def attacks(**others):
    """What all attacks on members tell, some of them otherwise."""
    return {**model()["membership"], **others}


def of(findings, topic):
    return [finding for finding in findings if finding.topic == topic]


@pytest.mark.parametrize(
    ("best", "level"), [(0.08, "green"), (0.10, "green"), (0.13, "amber"), (0.23, "amber"), (0.25, "red"), (1.0, "red")]
)
def test_shards_are_judged_by_what_the_best_attack_reads_of_what_it_can_name_beyond_a_blind_guess(best, level):
    findings = judge_code(code(best))
    assert levels(of(findings, "code")) == [level]
    assert verdict(findings) == level


@pytest.mark.parametrize(("known", "level"), [(0.08, "green"), (0.14, "amber"), (0.34, "red")])
def test_known_plaintext_is_a_finding_of_its_own(known, level):
    """Ten known records of 600; of which attacker knows nearly all of them nothing is said."""
    assert levels(of(judge_code(code(known=known)), "plaintext")) == [level]


@pytest.mark.parametrize(("nearest", "level"), [(12.0, "green"), (12.9, "green"), (13.8, "amber"), (20.0, "red")])
def test_values_that_are_nearly_right_are_read_though_their_ids_are_not(nearest, level):
    """The mean of the public records is at 12 dB."""
    found = code(codec="series/mulaw")
    for one in found["attacks"]:
        one |= {"psnr": 11.0, "psnr_blind": 12.0}
    found["attacks"][3]["psnr"] = nearest
    findings = judge_code(found)
    assert levels(of(findings, "rebuilt")) == [level]
    assert verdict(findings) == level
    del found["attacks"][3]["psnr"]
    assert not of(judge_code(found), "code")[0].measured
    assert not of(judge_code(code()), "rebuilt")  # texts are read or not


def test_attackers_who_use_the_ids_value_or_rows_are_findings_of_their_own():
    found = code()
    found["attacks"] += [
        attack("rank alone", 0.5, units=10_000),
        attack("embedding rows", 0.13, units=10_000, knows=BEFORE, ceiling=0.2),
    ]
    findings = judge_code(found)
    assert levels(of(findings, "rank") + of(findings, "rows") + of(findings, "code")) == ["red", "amber", "green"]


@pytest.mark.parametrize(
    "changes",
    [
        {"reference": {"digest": "dd" * 32, "records": 2, "bytes": 120}},
        {"attacks": [{**one, "ceiling": 0.3} for one in code()["attacks"]]},
        {"attacks": code()["attacks"][:-4]},
        {"reference": None},
        {"records": 600, "attacks": [one for one in code()["attacks"] if "known" not in one["name"]]},
    ],
)
def test_a_weak_adversary_shows_nothing(changes):
    findings = judge_code({**code(), **changes})
    assert verdict(findings) == "amber"
    assert not all(finding.measured for finding in findings)


def test_a_wide_interval_is_never_green_but_of_attacks_on_a_part():
    def widened(units):
        found = code()
        found["attacks"] = [
            {**one, "occurrences_interval": [0.0, 0.6]} if one["units"] == units and one["occurrences"] < 0.6 else one
            for one in found["attacks"]
        ]
        return verdict(judge_code(found))

    assert widened(10_000) == "amber"
    assert widened(1_000) == "green"  # the first records, of which the attack on all says more
    found = code()
    found["attacks"][0].update(occurrences=0.5, occurrences_interval=[0.4, 0.6])
    assert found["attacks"][0]["units"] == 1_000
    assert verdict(judge_code(found)) == "red"


def test_what_was_not_measured_is_amber_and_says_how_to():
    assert verdict(judge_code(None)) == verdict(judge_model(None)) == "amber"
    assert {finding.topic for finding in judge_model(None)} == {"membership", "extraction", "canaries"}
    assert not judge_code({"attacks": []})[0].measured
    assert "ult audit code" in judge_code(None)[0].change
    unseen = judge_model(model(extraction=None, canaries=None, blind=None), planted=20)
    assert levels(unseen) == ["green", "green", "amber", "amber", "amber"]
    assert all("not measured" in finding.found for finding in unseen[2:])
    assert not any(finding.measured for finding in unseen[2:])
    assert verdict([]) == "amber"


def test_a_model_that_nothing_was_found_in_is_green():
    findings = judge_model(model(), planted=20)
    assert levels(findings) == ["green"] * 5
    assert all(finding.measured for finding in findings)
    assert not any(finding.change for finding in findings)


@pytest.mark.parametrize(
    ("changes", "level"),
    [
        ({"membership": {"loss": rates(5)}}, "amber"),  # others were not tried
        ({"membership": attacks(loss=rates(5), rmia=rates(15))}, "amber"),
        ({"membership": attacks(loss=rates(100))}, "red"),
        ({"membership": attacks(loss=rates(5, auc=0.58))}, "amber"),
        ({"membership": attacks(loss=rates(5, auc=0.75))}, "red"),
        ({"membership": attacks(loss=rates(5), zlib=rates(0, auc=0.0))}, "red"),
        ({"membership": attacks(loss=rates(0, members=20, nonmembers=20))}, "amber"),
        ({"membership": attacks(loss=rates(0, nonmembers=60))}, "amber"),
        ({"blind": blind(0.9)}, "amber"),
        ({"extraction": extraction(1, 0)}, "amber"),
        ({"extraction": extraction(20, 18)}, "amber"),
        ({"extraction": extraction(40, 2)}, "red"),
        ({"extraction": extraction(0, 200)}, "red"),
        ({"extraction": extraction(40, 2, way="tuned")}, "red"),
        ({"extraction": extraction(0, 0, n=20)}, "amber"),
        ({"extraction": extraction(0, 0, ngrams=(0.9, 0.1))}, "red"),
        ({"canaries": canaries(2.2)}, "amber"),
        ({"canaries": canaries(9.9)}, "red"),
        ({"canaries": canaries(1.4, n=2)}, "amber"),
    ],
)
def test_one_finding_is_enough(changes, level):
    assert verdict(judge_model(model(**changes), planted=20)) == level


def test_each_figure_of_membership_is_graded_by_itself():
    def graded(**others):
        rate, area, *_ = of(judge_model(model(membership=attacks(**others)), planted=20), "membership")
        return (rate.level, rate.measured), area.level

    assert graded() == (("green", True), "green")
    assert graded(loss=rates(15)) == (("amber", True), "green")  # 1.7 % to 4.9 %
    assert graded(loss=rates(2, members=100)) == (("amber", True), "green")  # 0.2 % to 7 %
    few = rates(0, nonmembers=60) | {"auc": 0.2, "auc_interval": auc_interval(0.2, 500, 60)}
    assert graded(**dict.fromkeys(attacks(), few))[0] == ("amber", False)
    assert graded(loss=rates(400, nonmembers=60))[0] == ("red", True)
    areas = {auc: graded(loss=rates(5, auc=auc))[1] for auc in (0.5, 0.58, 0.68, 0.75)}
    assert areas == {0.5: "green", 0.58: "amber", 0.68: "amber", 0.75: "red"}
    assert graded(loss=rates(0, auc=0.72, members=30, nonmembers=30))[1] == "amber"  # so few tell nothing


@pytest.mark.parametrize(
    ("edit", "lacks"),
    [
        (lambda found: found["membership"]["loss"].update(tpr=[]), "no rate at 1% of nonmembers"),
        (lambda found: found["membership"]["loss"].update(nonmembers=1), "no members and nonmembers"),
        (lambda found: found["extraction"]["members"]["greedy"].update(passages=0), "no passages"),
        (lambda found: found["extraction"]["members"]["greedy"].update(exact=201), "no passages"),
        (lambda found: found["blind"].update(folds=1), "no folds"),
    ],
)
def test_a_figure_of_nothing_is_none(edit, lacks):
    found = copy.deepcopy(model())
    edit(found)
    (told,) = [one for one in judge_model(found, planted=20) if not one.measured]
    assert (told.level, lacks in told.found) == ("amber", True), told


def test_a_reversed_result_says_that_the_sides_look_swapped():
    (worst,) = [f for f in judge_model(model(membership={"loss": rates(0, auc=0.0)}), planted=20) if f.level == "red"]
    assert "look swapped" in worst.found
    assert (worst.value, worst.n) == (0.0, 500)


def test_a_finding_names_what_so_few_can_show():
    few = judge_model(model(membership={"loss": rates(0, members=20)}), planted=20)[0]
    assert "20 members cannot show a share below 14%" in few.found
    assert (few.level, few.measured, few.n) == ("amber", False, 20)
    assert few.power == pytest.approx(0.139, abs=1e-3)


def test_canaries_that_nobody_planted_show_nothing():
    findings = judge_model(model(), planted=0)
    assert [(f.level, f.measured) for f in of(findings, "canaries")] == [("amber", False)]
    assert "say that 0 were planted" in of(findings, "canaries")[0].found


def test_a_promise_that_the_attacks_refute_is_red():
    proven = model(membership={**model()["membership"], "loss": rates(5, epsilon=3.0)})
    assert verdict(judge_model(proven, Promised(8.0, 1e-5), planted=20)) == "green"
    assert verdict(judge_model(proven, planted=20)) == "green"
    refuted = judge_model(proven, Promised(2.0, 1e-5), planted=20)
    assert verdict(refuted) == "red"
    assert "3.00" in refuted[-1].found
    elsewhere = judge_model(proven, Promised(2.0, 1e-4), planted=20)
    assert [(f.level, f.measured) for f in of(elsewhere, "promise")] == [("amber", False)]  # at another delta
    proven["membership"]["loss"]["epsilon_at_least_by_delta"] = [[1e-3, 2.5]]
    assert "2.50" in judge_model(proven, Promised(2.0, 1e-4), planted=20)[-1].found


def promise(epsilon):
    return Guarantee(epsilon, 1e-5, 1, 1.0, 1.0)


def test_a_table_that_is_given_away_is_red_unless_it_promises():
    audit = table_audit()
    assert levels(judge_table(audit)) == ["red", "green", "green"]
    assert levels(judge_table(audit, promise(8.0))) == ["amber", "green", "green"]
    assert levels(judge_table(audit, promise(1.0))) == ["green", "green", "green"]
    assert levels(judge_table(None, promise(1.0))) == ["green", "amber"]
    assert verdict(judge_table(table_audit(shown=None), promise(8.0))) == "amber"


@pytest.mark.parametrize(
    "shown", [None, {"members": True, "nonmembers": False}, {"members": False, "nonmembers": True}]
)
def test_a_table_is_audited_by_who_was_in_its_fit_and_who_was_not(shown):
    weak = promise(8.0)
    assert not of(judge_table(table_audit(), weak), "binding")
    assert [one.level for one in of(judge_table(table_audit() | {"shown": shown}, weak), "binding")] == ["amber"]


def test_a_table_of_public_records_has_nothing_to_tell_of_them():
    assert levels(judge_table(None, public=True)) == ["amber"]
    assert all(finding.measured for finding in judge_table(None, public=True))
    assert levels(judge_table(table_audit(shown=None), public=True)) == ["amber", "green", "green"]


def test_a_bound_is_a_proof_where_a_coin_chose_the_members():
    audit = model(membership={"loss": rates(5, epsilon=3.0)})
    for coin, words in ((True, "prove an epsilon"), (False, "give, as an estimate, an epsilon")):
        assert words in judge_model({**audit, "coin": coin}, Promised(2.0, 1e-5), planted=20)[-1].found


def test_the_mean_of_members_says_nothing_of_each():
    """The receiver holds all of them, and one that is hardly counted may know its records by heart."""
    found = judge(candidate(run=run_part(members={"count": 2, "weights": [0.001, 0.999]})), audits(model=model()))
    assert verdict(judge(candidate(run=run_part()), audits(model=model()))) == "green"
    assert [(one.level, one.measured) for one in found if "members, each of which" in one.found] == [("amber", False)]


def test_whoever_holds_a_table_and_shards_of_it_holds_the_records():
    told = {"fingerprint": TABLE, "records": 500, "privacy": promise(1.0).document(), "public": False}
    parts = candidate(shards=[shards_part()], table=told)
    assert verdict(judge(parts, audits(code=code(), table=table_audit()))) == "red"
    assert verdict(judge(candidate(table=told), audits(table=table_audit()))) == "green"


@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (lambda a: a["extraction"]["members"]["greedy"].update(exact=0), "share of exact"),
        (lambda a: a["extraction"]["members"]["greedy"].update(exact=0, share=0.0), "share_interval"),
        (lambda a: a["membership"]["loss"].update(auc=0.5), "auc_interval"),
        (lambda a: a["membership"]["loss"].update(members=5000), "interval of members found"),
        (lambda a: a["membership"]["loss"]["tpr"][1].update(tpr=0.0), "outside of interval"),
        (lambda a: a["canaries"].update(p_value=0.5), "p-value"),
        (lambda a: a["canaries"].update(interpolated_mean=1.0), "mean exposure"),
        (lambda a: a["membership"]["loss"].update(auc=float("nan")), "expected"),
        (lambda a: a["extraction"]["members"]["greedy"].update(exact=-1), "whole number"),
        (lambda a: a["extraction"]["members"]["greedy"].update(exact=True), "whole number"),
    ],
)
def test_a_figure_that_was_edited_alone_contradicts_the_others(edit, field):
    leaking = model(membership={"loss": rates(100, auc=0.8)}, extraction=extraction(100, 0), canaries=canaries(9.0))
    edit(leaking)
    with pytest.raises(FormatError, match=field):
        judge_model(leaking, planted=20)


def test_an_audit_whose_figures_were_taken_away_or_asked_for_so_that_nothing_shows_is_not_green():
    many = model()["membership"]
    one = {name: found for name, found in many.items() if name != "min-k++"}
    asked = [{**extraction(), "prefix": given, "suffix": written} for given, written in ((1, 1), (20, 400))]
    without = extraction(150, 0)
    del without["members"]["greedy"]["passages"]
    for changes in ({"membership": one}, *({"extraction": told} for told in (*asked, without))):
        findings = judge_model(model(**changes), planted=20)
        assert verdict(findings) == "amber"
        assert not all(finding.measured for finding in findings)
    by_heart = {**canaries(3.4, n=7), "most": 3.46}  # as high as ranks among 10 alternatives go
    (finding,) = [one for one in judge_model(model(canaries=by_heart), planted=20) if one.topic == "canaries"]
    assert (finding.level, finding.measured) == ("amber", False)
    with pytest.raises(FormatError, match="the interval of members against nonmembers without it"):
        judge_model(model(blind={**blind(0.9), "auc": 0.5, "auc_interval": [0.45, 0.55]}), planted=20)
    with pytest.raises(FormatError, match="is for 'classify'; the run is for lm"):
        judge_model(model(task="classify"), planted=20)
