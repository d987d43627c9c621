"""Five sets of five modalities: what of each is trained and tested on, and the mean of ratios over them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lib.baselines import nbytes
from lib.corpus import cifar, genes, reactions, transformer, wikitext
from lib.session import Session
from ult.codecs.series import SeriesMulaw

SETS = ("text", "images", "molecules", "omics", "series")
LOSSY = ("images", "omics", "series")
TEST_BYTES, HOURS = 60_000, 24


def records(session: Session, name: str) -> tuple[list[Any], list[Any], Any]:
    """Return what to train on, what to test on, and the codec."""
    if name == "text":
        train, test, codec = wikitext(session, "train"), wikitext(session, "test"), "text/bytes"
    elif name == "images":
        train, test, codec = cifar(session, "train", 10_000), cifar(session, "test", 2000), "image/dct"
    elif name == "molecules":
        train, test, codec = reactions(session, "train"), reactions(session, "test"), "molecule/smiles"
    else:
        train, test = tumours(session) if name == "omics" else days(session)
        codec = SeriesMulaw.calibrated(train, patch_size=1)  # type: ignore[assignment]
    train = train[: session.sized(None, 200)]
    ends = np.cumsum([nbytes(one) for one in test])
    return train, test[: max(2, int((ends <= session.sized(TEST_BYTES, 6000)).sum()))], codec


def tumours(session: Session) -> tuple[list[Any], list[Any]]:
    """Return the expression of 200 genes in float32, of colorectal and of breast tumours, scaled alike."""
    found = []
    for name in ("tcga_crc_cms", "tcga_brca_mrna"):
        values = genes(session, name, 200).values
        found += list(((values - values.mean()) / values.std()).astype(np.float32))
    return [one for k, one in enumerate(found) if k % 5], found[::5]


def days(session: Session) -> tuple[list[Any], list[Any]]:
    """Return days of 24 hours of each of the seven series, scaled by what is trained on."""
    hours = transformer(session)
    hours = hours[: len(hours) // HOURS * HOURS]
    cut = len(hours) // HOURS * 4 // 5 * HOURS
    hours = ((hours - hours[:cut].mean(0)) / hours[:cut].std(0)).astype(np.float32)
    many = [part.reshape(-1, HOURS, 7).swapaxes(1, 2).reshape(-1, HOURS) for part in (hours[:cut], hours[cut:])]
    return list(many[0]), [many[1][k] for k in np.random.default_rng(0).permutation(len(many[1]))]


def geometric(values: Sequence[float]) -> float:
    """Return the geometric mean.

    >>> round(geometric([1.0, 4.0]), 6)
    2.0
    """
    return math.exp(sum(map(math.log, values)) / len(values))
