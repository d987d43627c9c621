"""Patients that are made up: a note, labs with gaps, codes and an image, each of which knows a part of the outcome.

The images are handwritten digits of scikit-learn's package, with noise: the part that they know is whether the digit
has a ring. Nothing else of a patient has to do with the outcome: not the age, not the sex.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
WORRYING = (
    "short of breath at rest", "ankles swollen", "could not lie flat", "confused at night", "passed little urine",
    "lost appetite", "dizzy on standing", "chest felt tight",
)  # fmt: skip
REASSURING = (
    "walks two miles a day", "sleeps well", "eats with appetite", "climbs the stairs", "back at work",
    "gardens again", "no new complaints", "feels stronger",
)  # fmt: skip
OTHER = (
    "wants a copy of the letter", "lives with a daughter", "had the flu jab", "wears glasses", "comes by bus",
    "asks about the diet", "old scar on the knee", "hearing aid on the left", "brought the tablets along",
    "prefers mornings", "was seen with an interpreter", "next visit in spring",
)  # fmt: skip
RISKS = ("I50.0", "I50.1", "N18.4", "N18.5", "E11.2", "J44.1")
CODES = ("H25.9", "H90.3", "I10", "J30.1", "K21.0", "L40.0", "M17.1", "M54.5", "N40", "R51", "Z00.0", "Z23", "Z96.6")
DIGITS, RINGS = 1797, (0, 6, 8, 9)  # images, and digits that have a ring
LABS, GAP = 4, 0.2  # values of creatinine, and how many of them are missing
WEIGHT = 1.2  # of each part's knowledge, of deviation 1, in the logit of the outcome
PARTS = {
    "note": ("note",),
    "labs": tuple(f"creatinine_{k + 1}" for k in range(LABS)),
    "codes": ("codes",),
    "image": ("scan",),
}
COLUMNS = ("age", "sex", "note", *PARTS["labs"], "codes", "scan", "outcome")


@dataclass(frozen=True)
class Patients:
    """What is written of each patient, as arrays of one length; `logit` is what chance alone adds to."""

    age: NDArray[np.int64]
    sex: NDArray[np.str_]
    note: list[str]
    labs: Floats  # (n, LABS), of two decimals, NaN for a gap
    codes: list[tuple[str, ...]]
    images: NDArray[np.uint8]  # (n, 8, 8)
    outcome: NDArray[np.bool_]
    logit: Floats

    def write(self, folder: Path, name: str, of: NDArray[np.int64]) -> Path:
        """Write the patients `of` as `name`.csv, their images beside it; return the table."""
        from PIL import Image

        scans = folder / f"{name}_scans"
        scans.mkdir(parents=True, exist_ok=True)
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(COLUMNS)
            for k in of.tolist():
                Image.fromarray(self.images[k]).save(scans / f"{k:05}.png")
                labs = ["" if np.isnan(value) else f"{value:.2f}" for value in self.labs[k]]
                outcome = "admitted" if self.outcome[k] else "home"
                about = [self.age[k], self.sex[k], self.note[k], *labs, "|".join(self.codes[k])]
                rows.writerow([*about, f"{scans.name}/{k:05}.png", outcome])
        return folder / f"{name}.csv"


def patients(copies: int, *, seed: int = 0) -> Patients:
    """Return `copies` patients for each image, those of one image one after another."""
    from sklearn.datasets import load_digits

    rng, digits = np.random.default_rng(seed), load_digits()
    pictures, ring = np.repeat(digits.images, copies, 0), np.repeat(np.isin(digits.target, RINGS), copies)
    n = len(ring)
    images = np.clip(np.rint(15 * (pictures + rng.normal(size=pictures.shape))), 0, 255).astype(np.uint8)
    notes, worry = zip(*(_note(rng) for _ in range(n)), strict=True)
    codes, burden = zip(*(_codes(rng) for _ in range(n)), strict=True)
    trend = rng.normal(size=n)
    labs = rng.normal(1.3, 0.3, (n, 1)) + 0.12 * trend[:, None] * np.arange(LABS) + rng.normal(0, 0.05, (n, LABS))
    labs = np.where(rng.random(labs.shape) < GAP, np.nan, np.round(np.maximum(labs, 0.2), 2))
    known = np.stack([worry, trend, burden, ring.astype(float)])
    known = (known - known.mean(1, keepdims=True)) / known.std(1, keepdims=True)
    logit = WEIGHT * known.sum(0)
    outcome = rng.random(n) < 1 / (1 + np.exp(-logit))
    age, sex = rng.integers(30, 95, n), np.array(["f", "m"])[rng.integers(0, 2, n)]
    return Patients(age, sex, list(notes), labs, list(codes), images, outcome, logit)


def _note(rng: np.random.Generator) -> tuple[str, float]:
    """Return a note, and how worrying it is."""
    every = WORRYING + REASSURING + OTHER
    chosen = rng.permutation(len(every))[: rng.integers(3, 8)]
    worry = np.where(chosen < len(WORRYING), 1.0, np.where(chosen < len(WORRYING + REASSURING), -1.0, 0.0)).sum()
    text = ", ".join(every[k] for k in chosen)
    return f"{text[0].upper()}{text[1:]}.", float(worry)


def _codes(rng: np.random.Generator) -> tuple[tuple[str, ...], float]:
    """Return codes, sorted, and how many of them are risks."""
    every = RISKS + CODES
    chosen = rng.permutation(len(every))[: rng.integers(1, 7)]
    return tuple(sorted(every[k] for k in chosen)), float(np.sum(chosen < len(RISKS)))
