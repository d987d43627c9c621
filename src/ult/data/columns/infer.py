"""Say of what kind a column is, and how its numbers or dates are written, by the shapes of its cells.

What can be read in two ways is not guessed: it becomes a category, or a text, and the readings are told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ult.codecs.record.field import DATE_FORMS
from ult.data.columns.tally import OTHER, ZERO, Tally

WRITTEN = ("number", "category", "date", "text", "list", "molecule")  # kinds of cells that are texts
AFFIXES = 8  # different texts before a number, or after it
AFFIX = 16  # characters of one
FEW = 8  # different numbers up to which they are codes of a category, in at least `SAMPLE` rows
SAMPLE = 50
SHARED = 0.5  # cells that hold one value, from which on that value is left out of the record
WORDY = 0.2  # cells of six words or more, from which on a column is free text
_CORE = re.compile(
    r"(?P<before>[^9]*?)(?P<core>[+-]?(?:9(?:[.,' \u00a0\u202f]?9)*[.,]?|[.,]9+))"
    r"(?P<power>[eE][+-]?9{1,3})?(?P<after>[^9]*)"
)
_TIME = r"([T ]99:99(:99([.,]9{1,9})?)?( ?(Z|UTC|[+-]99(:?99)?))?)?"
_SMILES = {"smiles", "canonical_smiles", "isomeric_smiles", "smi", "smiles_string", "rxn_smiles", "reaction_smiles"}
_CODED = re.compile(
    r"(?i)(?<![a-z])(codes?|icd|icd9|icd10|loinc|snomed|atc|ndc|cpt|drg|zip|plz|postcode|id)(?![a-z])|code$|(?-i:Id)$"
)
_GROUPERS = (" ", "'", "\u202f", "\u00a0")


@dataclass(frozen=True, slots=True)
class Reading:
    """How a column is read: a kind with its options, and what was left open.

    `readings` are the answers of which the owner has to choose one; `why` says in a phrase why the column has not the
    kind that most of its cells have. `cell` is a shape that is in the way of that kind.
    """

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    readings: tuple[str, ...] = ()
    why: str = ""
    cell: str = ""


def infer(name: str, tally: Tally, form: str = "") -> Reading:
    """Return how a column is read; `form` is the owner's answer: a kind, a decimal mark, or a date form."""
    missing = {"missing": tuple(sorted(tally.spelled))} if tally.spelled else {}
    if form in WRITTEN and form not in ("number", "date"):
        return _list(tally) or Reading("list") if form == "list" else Reading(form)
    other = _words(name, tally)
    if not tally.cells or (tally.shapes is None and not form):
        return other
    dated, number = _dates(tally, form), _number(tally, form)
    plain = number is not None and number.kind and form not in ("date", *DATE_FORMS)
    if number is not None and plain and (dated is None or not dated.kind):
        code = not form and _is_code(name, tally)
        return Reading("category") if code else Reading("number", {**number.options, **missing})
    if dated is not None and form in ("", "date", *DATE_FORMS):
        return Reading("date", {**dated.options, **missing}) if dated.kind else _left(other, dated)
    return other if number is None else _left(other, number)


def _left(other: Reading, open_: Reading) -> Reading:
    return Reading(other.kind, other.options, open_.readings, open_.why, open_.cell)


def _is_code(name: str, tally: Tally) -> bool:
    """Return whether numbers are codes: by the column's name, few different ones, or with zeros in front."""
    shapes = list(tally.shapes or ())
    few = tally.exact and tally.different <= FEW and tally.cells >= SAMPLE
    whole = not any(mark in shape for shape in shapes for mark in ".,")
    zeros = any(re.fullmatch(ZERO + "9{2,}", shape) for shape in shapes)
    return few or zeros or (whole and _CODED.search(name) is not None)


def _words(name: str, tally: Tally) -> Reading:
    """Return whether words are a category, free text, a list or molecules."""
    if name.lower().replace(" ", "_") in _SMILES:
        return Reading("molecule")
    listed = _list(tally)
    wordy = tally.formed["words"] >= WORDY * max(tally.looked, 1)
    if listed is not None and not wordy:
        return listed
    return Reading("text" if wordy or tally.longest > 200 else "category")


def _list(tally: Tally) -> Reading | None:
    """Return the reading as a list if cells share their items: fewer different items than cells."""
    for mark in ("|", ";", ", ", ","):
        if tally.parted[mark[0]] < max(2, 0.05 * tally.cells):
            continue
        cells = [(text, count) for text, count in tally.counts.items() if mark in text]
        items = {item for text, _ in cells for item in text.split(mark)}
        pieces = sum(text.count(mark) + 1 for text, _ in cells)
        alone = {text for text in tally.counts if mark not in text}
        least = 2 if mark[0] == "|" else 4
        if pieces >= 4 and least * len(items - alone) <= pieces and max(map(len, items), default=0) <= 64:
            return Reading("list", {"separator": mark})
    return None


def _dates(tally: Tally, form: str) -> Reading | None:
    """Return the reading of dates by shape alone, None if not all cells look like dates."""
    shapes = [shape.lstrip(ZERO) for shape in tally.shapes or ()]
    days = {shape: _forms_of(shape) for shape in shapes}
    if not form and all(shape == "9999" for shape, forms in days.items() if forms):  # years, if anything
        return None
    wrong = [shape for shape, forms in days.items() if not forms]
    if not shapes or wrong:
        counted = (tally.shapes or Counter[str]()).items()
        share = sum(count for shape, count in counted if days[shape.lstrip(ZERO)])
        told = f"{_several(tally.cells - share)} no date" if share > 0.9 * tally.cells else ""
        return Reading("", why=told, cell=wrong[0]) if told else None
    forms = sorted(set().union(*days.values()), key=DATE_FORMS.index)
    if forms == ["Ymd"] and form not in ("date", "Ymd") and not _in_centuries(tally):
        return None
    if forms == ["Y"] and form not in ("date", "Y"):
        return None
    if form in DATE_FORMS and form not in forms:
        return None
    ambiguous = [one for one in forms if one[:1] in "dm" and one[1] in "/-" and one[:1] + one[2:3] in ("dm", "md")]
    if ambiguous:
        chosen = form if form in ambiguous else _day_or_month(tally)
        if chosen is None:
            return Reading("", readings=tuple(ambiguous), why="day or month first")
        if chosen == "":
            return Reading("", why="some cells have the day first, others the month")
        first = chosen[0]
        forms = [one for one in forms if one not in ambiguous or one[0] == first]
    return Reading("date", {"forms": tuple(forms)})


def _forms_of(shape: str) -> set[str]:
    """Return the forms of date that have a shape, with or without a time."""
    found = set()
    for form in DATE_FORMS:
        plain = re.escape(form).replace("Y", "9999").replace("m", "99").replace("d", "99")
        if re.fullmatch(plain + _TIME, shape):
            found.add(form)
    return found


def _in_centuries(tally: Tally) -> bool:
    """Return whether numbers of eight digits are dates of 1800 to 2199, all that were counted."""
    return all(re.match(r"(18|19|20|21)\d\d(0[1-9]|1[0-2])([0-2]\d|3[01])", text) for text in tally.present)


def _day_or_month(tally: Tally) -> str | None:
    """Return "d" or "m", whichever all cells have first, "" for neither, None if it cannot be told."""
    first, second = tally.late
    if first and second:
        return ""
    return "d" if first else "m" if second else None


def _number(tally: Tally, form: str) -> Reading | None:
    """Return the reading of numbers, None if most cells are none."""
    parts, wrong, n = [], [], 0
    for shape, count in (tally.shapes or {}).items():
        match = None if shape.startswith(OTHER) else _CORE.fullmatch(shape.lstrip(ZERO))
        if match is not None and match["before"][-1:].isalpha() and not form:
            return None  # a code such as V27 or PHASE2
        if match is None or max(len(match["before"]), len(match["after"])) > AFFIX:
            wrong.append(shape)
        else:
            parts.append((match, shape.startswith(ZERO)))
            n += count
    if n < 0.9 * tally.cells:
        return None
    if wrong:
        return Reading("", why=f"{_several(tally.cells - n)} no number", cell=wrong[0])
    before, after = ({match[side] for match, _ in parts} for side in ("before", "after"))
    if len(before) > AFFIXES or len(after) > AFFIXES:
        return None
    marks = _marks([(match["core"].lstrip("+-"), zero) for match, zero in parts], form)
    if isinstance(marks, Reading):
        return marks
    options: dict[str, Any] = {"decimal": marks[0], "thousands": marks[1]}
    options |= {"before": tuple(sorted(before)), "after": tuple(sorted(after))}
    return Reading("number", {**options, "exponent": any(match["power"] for match, _ in parts)})


def _several(cells: int) -> str:
    return "1 cell is" if cells == 1 else f"{cells:,} cells are"


def _marks(cores: Sequence[tuple[str, bool]], form: str) -> tuple[str, str] | Reading:
    """Return the decimal mark and the thousands mark of numbers, of which only the shapes are known."""
    groupers = {sign for core, _ in cores for sign in core if sign in _GROUPERS}
    if len(groupers) > 1:
        return Reading("", why="the marks between its digits differ")
    both = [core for core, _ in cores if "." in core and "," in core]
    choices = [decimal for decimal in ".," if all(_fits(core, decimal, groupers, zero) for core, zero in cores)]
    if form in (".", ","):
        choices = [one for one in choices if one == form]
    elif len(choices) == 2 and not any(sign in core for core, _ in cores for sign in ".,"):
        choices = ["."]
    if not choices:
        return Reading("", why="no decimal mark suits all its cells")
    if len(choices) == 2:
        return Reading("", readings=(".", ","), why="its decimal mark may be . or ,")
    decimal = choices[0]
    other = {".": ",", ",": "."}[decimal]
    grouped = any(other in core for core, _ in cores) or bool(both)
    return decimal, next(iter(groupers)) if groupers else other if grouped else ""


def _fits(core: str, decimal: str, groupers: set[str], zero: bool) -> bool:
    """Return whether a number can be read with a decimal mark; a zero in front speaks against groups of digits."""
    mark = re.escape(next(iter(groupers)) if groupers else {".": ",", ",": "."}[decimal])
    point = re.escape(decimal)
    if re.fullmatch(rf"(9+({point}9*)?|{point}9+)", core):
        return True
    return not zero and re.fullmatch(rf"9{{1,3}}({mark}999)+({point}9*)?", core) is not None
