"""The figures of audits in words: names and values as the commands print them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ult.audit.release.finding import mark, worst_first
from ult.host.shown import Facts


def of_model(result: Mapping[str, Any]) -> Facts:
    """Return the figures of the audit of a run."""
    extracted, exposed = _extraction(result["extraction"]), _canaries(result["canaries"])
    return [*_sides(result), *of_membership(result), *extracted, *exposed]


def of_membership(result: Mapping[str, Any]) -> Facts:
    """Return the figures of the membership attacks."""
    rows = []
    for name, found in result["membership"].items():
        low, high = found["auc_interval"]
        rates = ", ".join(map(_rate, found["tpr"]))
        proven = f"epsilon at least {found['epsilon_at_least']:.2f} at delta {found['delta']:g}"
        rows.append(
            (f"membership: {name}", f"AUC {found['auc']:.3f}  (95 %: {low:.3f} to {high:.3f}), {rates}; {proven}")
        )
    return rows


def of_mechanism(result: Mapping[str, Any]) -> Facts:
    """Return the verdict on the mechanisms, and the figures of each."""
    return [("verdict", "REFUTED" if result["refuted"] else "not refuted"), *_rows(result)]


def of_forget(result: Mapping[str, Any]) -> Facts:
    """Return the verdict on a run that is said to have forgotten, and what it rests on, the worst first."""
    told, void = result["records"], ", and the comparison is void" if result["void"] else ""
    found = worst_first(result["findings"])
    ours, theirs = result["work"]["forgot"]["product"], result["work"]["retrained"]["product"]
    work = [("work", f"{ours / theirs:.1%} of retraining, in steps x parameters")] if ours and theirs else []
    return [
        ("verdict", result["verdict"].upper() + void),
        ("method", result["method"] or "not said"),
        ("records compared", f"{told['forgotten']:,} forgotten, {told['nonmembers']:,} that no run saw"),
        *work,
        *((mark(one), one["found"] + (f"; next: {one['change']}" if one["change"] else "")) for one in found),
    ]


def of_attack(one: Mapping[str, Any]) -> str:
    """Return the result of an attack on a code in words."""
    rebuilt = f"; rebuilt at {one['psnr']:.1f} dB, blind {one['psnr_blind']:.1f} dB" if "psnr" in one else ""
    return (
        f"{one['name']}, {one['units']:,} ids: {one['occurrences']:.1%} read, {one['types']:.1%} of the "
        f"{one['kinds']:,} different ones, {one['patches']:.1%} of whole patches; blind {one['blind']:.1%}{rebuilt}"
    )


def of_best(top: Mapping[str, Any]) -> str:
    """Return the result of the best attack by public data in words."""
    low, high = top["occurrences_interval"]
    return (
        f"{top['name']} of {top['units']:,} ids, reads {top['occurrences']:.1%} ({low:.1%} to {high:.1%}) of at most "
        f"{top['ceiling']:.1%}; blind {top['blind']:.1%}"
    )


def _sides(result: Mapping[str, Any]) -> Facts:
    told, without = result["records"], result["blind"]
    low, high = without["auc_interval"]
    return [
        (
            "records compared",
            f"{told['members']['compared']:,} members, {told['nonmembers']['compared']:,} nonmembers; without the run "
            f"AUC {without['auc']:.3f}  (95 %: {low:.3f} to {high:.3f})",
        )
    ]


def _rate(rate: Mapping[str, Any]) -> str:
    upper = f"95 %: at up to {rate['others_above_interval'][1]:.1%} of them"
    return f"{rate['tpr']:.1%} of members at {rate['fpr']:.1%} of nonmembers ({upper})"


def _extraction(found: Mapping[str, Any] | None) -> Facts:
    ways = [(whose, way) for whose in ("members", "nonmembers") for way in ("greedy", "sampled", "tuned") if found]
    given = [(w, way, found[w][way]) for w, way in ways if found and found.get(w, {}).get(way)]
    return [
        (
            f"extraction: {whose}, {way}",
            f"{one['exact']:,} of {one['passages']:,} exact, {one['recall']:.1%} at {one['errors']} errors, "
            f"{one['ngrams']:.1%} of n-grams",
        )
        for whose, way, one in given
    ]


def _canaries(found: Mapping[str, Any] | None) -> Facts:
    if not found:
        return []
    low, high = found["chance_interval"]
    chance = f"chance {found['chance_mean']:.2f}  (95 %: {low:.2f} to {high:.2f})"
    inner = f"{found['interpolated_mean']:.2f} of at most {found['most']:.2f} bits"
    outer = f"extrapolated {found['extrapolated_mean']:.2f} of log2 |R| = log2 {found['space']:,}"
    return [("mean exposure of canaries", f"{inner}, {outer}; {chance}, p {found['p_value']:.2g}")]


def _rows(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for tested in result["mechanisms"]:
        of = f"{tested['mechanism']}, epsilon {tested['epsilon']:.3g}, delta {tested['delta']:.3g}"
        if "patches" in tested:
            of += f", {tested['patches']} patches per record"
        yield of, f"{tested['records']} records"
        for claim in tested["claims"]:
            yield f"  {claim['claim']}", _claim(claim)


def _claim(claim: Mapping[str, Any]) -> str:
    promised = [f"{name} {claim['promised'][name]:.4g}" for name in ("epsilon", "delta") if name in claim["promised"]]
    seen = f"{claim['seen']:,} times; " if "seen" in claim else ""
    least = ", ".join(f"{name} at least {value:.4g}" for name, value in claim["at_least"].items())
    ((name, would),) = claim["would_find"].items()
    power = f"would have found {name} {would:.4g}" if would else "are too few to find anything"
    verdict = "REFUTED" if claim["refuted"] else "not refuted"
    return f"{' at '.join(promised)} promised; {seen}{least}: {verdict}; {claim['trials']:,} trials {power}"


def of_attacker(name: str, overall: Mapping[str, Any], people: Mapping[str, Any] | None) -> str:
    """Return in words what an attacker reads of all cells of records of fields."""
    read = f"{name}: {overall['read']:.1%} of {overall['cells']:,} cells read, without the ids {overall['blind']:.1%}"
    if people is None:
        return read
    low, high = people["alone_interval"]
    read += (
        f"; {people['alone']:.1%} ({low:.1%} to {high:.1%}) of {people['people']:,} people are alone in what is "
        f"known, {people['few']:.1%} among fewer than 5"
    )
    if "linked" not in people:
        return read
    low, high = people["linked_interval"]
    return (
        f"{read}, and {people['linked']:.1%} ({low:.1%} to {high:.1%}) were linked to their record, "
        f"{people['linked_wrongly']:.1%} to another; by chance {people['chance']:.2%}"
    )


def of_field(one: Any) -> str:
    """Return in words what was read of a field, a `Read` of `ult.audit.code.fields`."""
    low, high = one.read_interval
    found = f"{one.read:.1%} ({low:.1%} to {high:.1%}) of cells read, without the ids {one.blind:.1%}"
    if one.near is not None:
        found += f"; the bin of {one.near:.1%}, {one.near_blind:.1%}"
    return found
