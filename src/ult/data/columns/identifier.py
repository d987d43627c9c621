"""Judge whether a column may say who somebody is, by its header, the form of its values, and how many differ.

One judgement, for columns that are kept in the clear, columns that are encoded, and the page of a release.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ult.data.columns import looks

MANY = 20  # distinct values from which on small groups are not just due to a small data set
SHARED = 20  # records per value below which numbers or names, of more than `MANY` values, point at single people
ALONE = 0.9  # distinct values per value from which on names, codes and numbers are nearly unique
FEW = 5  # distinct values from which on a column of few is judged, if header and form say the same
SCATTERED = 0.7  # the same, for values that have the form of a name or a number of somebody


class Judgement(NamedTuple):
    """The kind of personal data (`looks.KINDS`) that a column looks like, or "", the reason, and how sure it is.

    `level` is "told" (no flag), "amber" or "red". `sure` says that the header tells it, or a form that nothing else
    has, however few values differ. `agreed` says that the header and the form of the values say the same, though
    neither suffices alone, and `coordinates` that the header names coordinates of a place.
    """

    kind: str
    why: str
    level: str
    sure: bool = False
    agreed: bool = False
    coordinates: bool = False


def judge(names: Sequence[str], formed: Mapping[str, int], *, filled: int, distinct: int, rows: int) -> Judgement:
    """Return what a column looks like; `names` are its header and the names within a nested type.

    `formed` counts the values of each form (`looks.FORMS`, and "words" for free text), of `filled` that are not empty.
    """
    common: set[str] = set() if any(map(looks.bare, names)) else looks.BARE_FORMS
    shares = {form: count / max(filled, 1) for form, count in formed.items() if form not in common}
    named = {kind for kind, _ in map(looks.header, names) if kind in ("name", "number")}
    formed_so = {kind for form, kind in looks.FORMS.items() if shares.get(form, 0) >= looks.SEEN}
    found = _judged(names, shares, distinct, rows)
    return found._replace(agreed=bool(named & formed_so), coordinates=any(map(looks.coordinates, names)))


def _judged(names: Sequence[str], shares: Mapping[str, float], distinct: int, rows: int) -> Judgement:
    headers = [looks.header(name) for name in names]
    kind, sure = next((header for header in headers if header[1]), headers[0])
    scattered = distinct > MANY and rows < SHARED * distinct
    dated = shares.get("date", 0) >= looks.SEEN
    if kind and sure:
        flag = distinct <= 2 and rows > MANY  # "has telephone"
        return Judgement(kind, "its header", "amber" if flag else "red", not flag)
    if kind == "birth" and dated:
        return Judgement(kind, "its header, and the form of its values", "red", True)
    for form in sorted(looks.FORMS, key=lambda form: -shares.get(form, 0)):
        least = looks.TELLING if form in looks.TELLING_FORMS else looks.SEEN
        if shares.get(form, 0) < least:
            continue
        why = f"the form of {shares[form]:.0%} of its values"
        if form in looks.SURE_FORMS:
            return Judgement(looks.FORMS[form], why, "red", True)
        if form == "date":
            return Judgement("date", why, "amber")
        some = scattered or (kind == "name" and distinct >= FEW)  # names of a few people, each with many records
        if some and kind == looks.FORMS[form] and any(map(looks.bare, names)):
            return Judgement(kind, f"its header, and {why}", "red", True)
        if scattered and kind != "place":
            return Judgement(looks.FORMS[form], why, "red")
        if form == "code" and not kind and distinct > MANY:
            return Judgement("number", why, "amber")
    if shares.get("words", 0) >= looks.SEEN:
        return Judgement("text", f"the length of {shares['words']:.0%} of its values", "amber")
    if kind in ("name", "number") and distinct > 2:
        return Judgement(kind, "its header", "red" if scattered else "amber", scattered)
    return Judgement(kind, "its header", "amber") if kind == "place" else Judgement("", "", "told")


def of_field(found: Judgement, kind: str, *, whole: bool, distinct: int, cells: int) -> str:
    """Return why a column has to be asked about before it is encoded, or "" if it has not.

    `kind` is that of the field, and `whole` says whether its numbers are whole ones; `distinct` and `cells` count those
    that are not missing. Dates of birth are data of most records, and free text is what is encoded: neither is asked
    about here.
    """
    measured = kind == "date" or (kind == "number" and not whole)
    alone = distinct >= SCATTERED * cells
    if alone and distinct >= FEW and found.coordinates:
        return "coordinates of a place, nearly all different"
    if found.sure and found.kind != "birth" and not measured:
        return f"{looks.KINDS[found.kind].partition(' (')[0]}, by {found.why}"
    if alone and distinct >= FEW and found.agreed and kind == "category":
        return f"{looks.KINDS[found.kind].partition(' (')[0]}, by its header and the form of its values"
    if cells < MANY or measured or kind not in ("category", "number"):
        return ""
    if found.level == "red" and alone:
        return f"{looks.KINDS[found.kind].partition(' (')[0]}, by {found.why}"
    if distinct < ALONE * cells:
        return ""
    if kind == "category":
        return f"{distinct / cells:.0%} of its values differ"
    return "whole numbers, all different" if distinct >= 0.98 * cells else ""


def told(found: Judgement, formed: Mapping[str, int], *, filled: int, distinct: int) -> str:
    """Return what a column tells of who somebody is, or "", if it is none that is asked about."""
    if formed.get("uuid", 0) >= looks.SEEN * max(filled, 1) and distinct > 2:
        return "ids that others may have too (UUIDs)"
    if found.coordinates:
        return "coordinates of a place, by its header"
    if found.kind in ("birth", "place", "address") and distinct > 2:
        return f"{looks.KINDS[found.kind]}, by its header"
    return ""


def of_kept(found: Judgement, kind: str, *, whole: bool, distinct: int, cells: int) -> str:
    """Return why a column may not be kept in the clear, or ""; dates of birth are asked about here, too."""
    if found.sure and found.kind == "birth":
        return f"{looks.KINDS['birth']}, by {found.why}"
    return of_field(found, kind, whole=whole, distinct=distinct, cells=cells)
