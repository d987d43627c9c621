"""What synthetic records copy of single real ones: whole records, passages of text, rare values, and extremes.

Nothing is judged by what the real records alone say: a copy is one of a record that was read, and whether more of these
are met than chance would bring is told by held-out records, which nobody read. Each figure has a p-value: how probable
so many copies are if the synthesis knew no more of the real records than of the held-out ones.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.synth.cells import MEASURED, Values
from ult.audit.synth.coded import HELD_OUT, REAL, SYNTHETIC, Coded
from ult.audit.synth.side import Side
from ult.host.extras import require

with require("scipy", extra="audit"):
    from scipy import stats

PAIRED = 2000  # records of each side that are compared in pairs
ENOUGH = 20  # pairs that must agree in so many columns, for that to tell how fast agreement becomes rare
UNSEEN = 3  # pairs that may have agreed further, though none was met (rule of three, at 95 %)
WORDS = 16  # of a text that are compared in pairs, from its beginning


def chance(hits: int, controls: int, share: float, expected: float | None) -> float:
    """Return the p-value of `hits` of real records beside `controls` of held-out ones, among what only one side has.

    `share` of all that could be hit is of real records. Without any control the `expected` number counts too, if it
    is known, because then few hits say nothing by their share alone.
    """
    if not hits:
        return 1.0
    p = float(stats.binom.sf(hits - 1, hits + controls, share))
    return p if controls or expected is None else min(p, float(stats.poisson.sf(hits - 1, expected)))


def records(columns: Sequence[Coded], sides: Mapping[str, Side], *, seed: int) -> dict[str, Any]:
    """Return, as JSON values, how many synthetic records are whole copies, and the p-value."""
    written = np.unique(sides[SYNTHETIC].keys)
    real, held = np.unique(sides[REAL].keys), np.unique(sides[HELD_OUT].keys)
    ours, theirs = (np.setdiff1d(a, b, assume_unique=True) for a, b in ((real, held), (held, real)))
    hits, controls = (int(np.isin(each, written, assume_unique=True).sum()) for each in (ours, theirs))
    copied = int(np.isin(sides[SYNTHETIC].keys, real).sum())
    kept = sides[REAL].keys[sides[REAL].drawn]
    copied_kept = np.flatnonzero(np.isin(kept, written) & ~np.isin(kept, held))
    rate = _coincidence(columns, sides, copied_kept, seed)
    expected = None if rate is None else rate * len(written) * len(ours)
    share = len(ours) / max(len(ours) + len(theirs), 1)
    return {
        "copied": copied,
        "of": sides[SYNTHETIC].records,
        "copied_of_held_out": int(np.isin(sides[SYNTHETIC].keys, held).sum()),
        "real_only": hits,
        "held_out_only": controls,
        "share": share,
        "expected": expected,
        "p_value": chance(hits, controls, share, expected),
    }


def _coincidence(
    columns: Sequence[Coded], sides: Mapping[str, Side], copied: NDArray[np.int64], seed: int
) -> float | None:
    """Return how probable it is that a record equals one of another person, by pairs of real and held-out ones.

    Pairs that agree in many columns, and in so many first words of texts, tell how fast agreement becomes rare with
    each further one. What no pair shows is extrapolated at the last rate that was seen, which is too high rather than
    too low, up to what the least of the `copied` records (their places among the real ones that were kept) holds. None
    for a single column that is no text, and if no record was copied.
    """
    wordy = [one for one in columns if one.is_text]
    if not len(copied) or (len(columns) == 1 and not wordy):
        return None
    rng = np.random.default_rng(seed)
    at = {name: rng.permutation(len(columns[0].codes[name]))[:PAIRED] for name in (REAL, HELD_OUT)}
    plain = [one for one in columns if not one.is_text]
    codes = {name: np.stack([one.codes[name][at[name]] for one in plain], 1) for name in at} if plain else {}
    begun = [{name: _first_words(one, sides[name], at[name]) for name in at} for one in wordy]
    counts = np.zeros(len(plain) + WORDS * len(wordy) + 1)
    for k in range(len(at[REAL])):
        agreed = (codes[HELD_OUT] == codes[REAL][k]).sum(1) if plain else np.zeros(len(at[HELD_OUT]), np.int64)
        for words in begun:
            agreed = agreed + np.cumprod(words[HELD_OUT] == words[REAL][k], axis=1).sum(1)
        counts += np.bincount(agreed, minlength=len(counts))
    lengths = sum((_first_words(one, sides[REAL], copied) != 0).sum(1) for one in wordy)
    return _extrapolated(counts, len(plain) + int(np.min(lengths)))


def _first_words(column: Coded, side: Side, at: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return a number of each of the first words (n, `WORDS`) of texts, equal where words are; 0 where there is none.

    The zeros of held-out texts are -1: no word agrees with none.
    """
    cells, none = side.columns[column.field.name], -1 if side.name == HELD_OUT else 0
    found = np.full((len(at), WORDS), none, np.int64)
    for row, k in enumerate(at.tolist()):
        words = [hash(word) | 1 for word in folded(cells[k] or "").split()[:WORDS]]
        found[row, : len(words)] = words
    return found


def _extrapolated(counts: NDArray[np.float64], wanted: int) -> float:
    """Return the share of pairs that agree in `wanted` or more, by how many (0, 1, ..) pairs agree in."""
    at_least = np.cumsum(counts[::-1])[::-1]
    pairs = at_least[0]
    if pairs < ENOUGH:
        return 1.0
    last = int(np.flatnonzero(at_least >= ENOUGH)[-1])
    if wanted <= last:
        return float(at_least[wanted] / pairs)
    further = (at_least[last + 1] + UNSEEN) / at_least[last]
    rate = max(at_least[last] / at_least[last - 1], further) if last else 1.0
    return float(at_least[last] / pairs * min(rate, 1.0) ** (wanted - last))


def values(columns: Sequence[Coded], sides: Mapping[str, Side]) -> dict[str, Any]:
    """Return, as JSON values, how many values that a single record has are written, of real and of held-out records.

    Several values of one record go together, and all those of a unit, so the p-value is that of a draw of whole
    records, or units, for either side.
    """
    each: list[dict[str, Any]] = []
    written = {name: np.zeros(len(columns[0].codes[name])) for name in (REAL, HELD_OUT)}
    for one in columns:
        if one.is_text:
            continue
        size = max(int(codes.max(initial=0)) for codes in one.codes.values()) + 1
        real, held, made = (np.bincount(one.codes[name], minlength=size) for name in (REAL, HELD_OUT, SYNTHETIC))
        alone = (real + held == 1) & (np.arange(size) > 0)
        met = alone & (made > 0)
        told: dict[str, Any] = {"column": one.field.name}
        for name, side in ((REAL, real), (HELD_OUT, held)):
            written[name] += met[one.codes[name]]
            told |= {
                _key(name): int((alone & (side == 1)).sum()),
                f"{_key(name)}_written": int((met & (side == 1)).sum()),
            }
        each.append(told)
    total = {key: sum(one[key] for one in each) for key in ("real", "real_written", "held_out", "held_out_written")}
    return {
        **total,
        "p_value": _of_records(*(_by_unit(sides[name], written[name]) for name in (REAL, HELD_OUT))),
        "worst": max(each, key=lambda told: int(told["real_written"]) - int(told["held_out_written"]), default=None),
    }


def _by_unit(side: Side, written: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the sum of each unit, of records alone the values themselves."""
    if side.units is None:
        return written
    _, whose = np.unique([unit or "" for unit in side.units], return_inverse=True)
    return np.bincount(whose, written).astype(float)


def _of_records(real: NDArray[np.float64], held: NDArray[np.float64]) -> float:
    """Return the p-value of so many written values, (records,) of each side, if records were dealt out by chance."""
    hits, controls = float(real.sum()), float(held.sum())
    if not hits:
        return 1.0
    share = len(real) / (len(real) + len(held))
    spread = np.sqrt(share * (1 - share) * (np.square(real).sum() + np.square(held).sum()))
    apart = float(stats.norm.sf((hits - 0.5 - share * (hits + controls)) / spread))
    return max(apart, float(stats.binom.sf(hits - 1, hits + controls, share)))


def _key(name: str) -> str:
    """Return the name of a side in JSON."""
    return name.replace("-", "_")


def extremes(columns: Sequence[Coded], sides: Mapping[str, Side]) -> dict[str, Any]:
    """Return, as JSON values, which least and greatest values are those of one real person, and the p-value.

    An end tells something if a single real record has it and no held-out one. By chance synthetic records would end at
    it as rarely as at any other value between it and the real or held-out value next to it.
    """
    told, ends = [], 0
    for one in columns:
        if one.field.kind not in MEASURED or one.values is None:
            continue
        there = {name: each[~np.isnan(each)] for name, each in one.values.items()}
        if min(len(there[name]) for name in (REAL, HELD_OUT, SYNTHETIC)) < 2:
            continue
        cells = [cell for name in (REAL, HELD_OUT) for cell in sides[name].columns[one.field.name]]
        step = Values(one.field).step(cells)
        for end, sign in (("least", -1.0), ("greatest", 1.0)):
            real, held, written = (np.sort(sign * there[name])[::-1] for name in (REAL, HELD_OUT, SYNTHETIC))
            if real[0] <= held[0] or real[0] == real[1]:
                continue
            ends += 1
            gap = max(1, round((real[0] - max(real[1], held[0])) / step))
            if written[0] == real[0]:
                told.append({"column": one.field.name, "end": end, "p_value": 1 / gap})
    least = min((one["p_value"] for one in told), default=1.0)
    return {"telling": ends, "written": len(told), "ends": told, "p_value": min(1.0, least * max(ends, 1))}


LENGTHS = (8, 12, 16, 24, 32)  # words of a passage
TEXTS = 20_000  # of a side, at most


def passages(column: Coded, sides: Mapping[str, Side], *, seed: int) -> dict[str, Any] | None:
    """Return, as JSON values, how many real and held-out texts are quoted, by the length of the passages in words.

    A passage counts if a single text of both sides has it, however often that stands there. A text that is quoted often
    counts once, because whoever repeats a phrase does so whichever side has it. None for too few texts.
    """
    rng = np.random.default_rng(seed)
    texts = {}
    for name in (REAL, HELD_OUT, SYNTHETIC):
        cells = [cell for cell in sides[name].columns[column.field.name] if cell]
        drawn = dict.fromkeys(folded(cells[k]) for k in rng.permutation(len(cells))[:TEXTS])
        texts[name] = [one.split() for one in drawn]
    if min(map(len, texts.values())) < 2:
        return None
    mine, others = len(texts[REAL]), len(texts[HELD_OUT])
    share = mine / (mine + others)
    each = []
    for length in LENGTHS:
        owners = _owners([*texts[REAL], *texts[HELD_OUT]], length)
        quoted = {
            owners[run] for words in texts[SYNTHETIC] for run in _runs(words, length) if owners.get(run, NOBODY) >= 0
        }
        hits = sum(owner < mine for owner in quoted)
        controls = len(quoted) - hits
        p = float(stats.binom.sf(hits - 1, hits + controls, share)) if hits else 1.0
        each.append({"words": length, "real": hits, "held_out": controls, "p_value": p})
    least = min(one["p_value"] for one in each)
    return {
        "column": column.field.name, "texts": len(texts[SYNTHETIC]), "real": mine, "held_out": others,
        "lengths": each, "p_value": min(1.0, least * len(each)),
    }  # fmt: skip


def folded(text: str) -> str:
    """Return a text without what a copy is easily disguised by: case, marks, what is not seen, and letters alike.

    >>> folded("No c\\u0435ll-line, na\\u200b\\u00efve")
    'no cellline naive'
    """
    return _MARKS.sub("", unicodedata.normalize("NFKD", text).translate(_ALIKE).casefold())


# Letters of Cyrillic and of Greek that look like those of Latin.
_ALIKE = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухһԁԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧανορι",
    "ABESIJKMHOPCTYXaesijopcyxhdqwABEZHIKMNOPTYXavopi",
)
_MARKS = re.compile(r"[^\w\s]")

NOBODY = -1  # owns a passage that several texts have


def _runs(words: Sequence[str], length: int) -> set[int]:
    return {hash(tuple(words[k : k + length])) for k in range(len(words) - length + 1)}


def _owners(texts: Sequence[Sequence[str]], length: int) -> dict[int, int]:
    """Return the number of the text that alone has a passage, of each passage; `NOBODY` if several have it."""
    found: dict[int, int] = {}
    for number, words in enumerate(texts):
        for run in _runs(words, length):
            found[run] = NOBODY if run in found else number
    return found
