"""The demo's measurements that no command makes: wrong tables forced, pixels compared, a baseline."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ult.audit.code.score import phrases
from ult.data import open_source
from ult.errors import CorruptSymbols
from ult.host.extras import require
from ult.owner.keyfile import read_identities
from ult.owner.table import Table
from ult.public.shards import Shards
from ult.public.vocabulary import N_SPECIAL

TOPICS = {
    "A": "sample:topics?owner=a",
    "B": "sample:topics?owner=b&part=train",
    "test": "sample:topics?owner=b&part=test",
}
DIGITS = {"train": "sample:digits?part=train", "test": "sample:digits?part=test", "B": "sample:digits?owner=b"}
HEADER = 4  # symbols: channels, height, width, mean


def open_table(owner: str, name: str) -> Table:
    """Return a table of owner "a" or "b", opened with its key."""
    return Table.load(f"owner-{owner}/{name}.ult", identities=read_identities(f"owner-{owner}/identity.txt"))


def paragraphs(name: str) -> list[str]:
    """Return the records of a part of the topics."""
    return list(open_source([TOPICS[name]], modality="text", column="text"))


def short(text: str, n: int) -> str:
    """Return a text on one line, cut to `n` characters."""
    text = " ".join(text.split())
    return text if len(text) <= n else text[: n - 1] + "…"


def forced_text(truth: list[str]) -> dict[str, Any]:
    """Decode B's test shards with A's table, past the check of the fingerprint."""
    table = open_table("a", "table")
    decoded, exact, shown = 0, 0, ("", "")
    for text, ids in zip(truth, Shards("trainer/b-test.shards").ids(), strict=True):
        try:
            other = table.decode(ids)
        except CorruptSymbols:
            continue
        decoded += 1
        exact += other == text
        if not shown[0] and len(text) > 100:
            shown = (short(text, 240), short(other, 240))
    return {"decoded": decoded, "exact": exact, "sample": shown[0], "nonsense": shown[1]}


def pixel_baseline() -> dict[str, float]:
    """Return what logistic regression on the pixels achieves on the same split."""
    with require("scikit-learn", extra="demo"):
        from sklearn.linear_model import LogisticRegression
        from sklearn.metrics import balanced_accuracy_score
    (x, y), (x_test, y_test) = _pixels("train"), _pixels("test")
    predicted = LogisticRegression(max_iter=2000).fit(x, y).predict(x_test)
    balanced = float(balanced_accuracy_score(y_test, predicted))
    return {"accuracy": float((predicted == y_test).mean()), "balanced_accuracy": balanced}


def _pixels(part: str) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    batches = list(open_source([DIGITS[part]], modality="image", keep=["label"]).batches())
    images = np.stack([image for batch in batches for image in batch.records])
    labels = np.concatenate([batch.kept["label"].to_numpy() for batch in batches])
    return images.reshape(len(images), -1) / 255, labels


def image_strips() -> dict[str, Any]:
    """Decode A's test digits with A's and with B's table; ten of them, one a class, as pictures.

    B's table is tried as it is, and by an adversary who knows the size of the images and their mean besides.
    """
    right, wrong = open_table("a", "digits"), open_table("b", "digits")
    pixels, labels = _pixels("test")
    originals = list(np.rint(pixels.reshape(-1, 8, 8) * 255).astype(np.uint8))
    ids = list(Shards("trainer/digits-test.shards").ids())
    decoded, forced = right.decode_batch(ids), [_forced_image(wrong, one) for one in ids]
    helped = _helped_images(right, wrong, ids)
    first = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)]
    return {
        "n": len(ids),
        "psnr_right": _psnr(originals, decoded),
        "psnr_helped": _psnr(originals, helped),
        "psnr_flat": _psnr(originals, [np.full((8, 8), np.mean(image)) for image in originals]),
        "wrong_decoded": sum(image is not None for image in forced),
        "strips": {
            "original": [_png(originals[i]) for i in first],
            "A's table": [_png(decoded[i]) for i in first],
            "B's table": [_png(forced[i]) for i in first],
            "B's table, size known": [_png(helped[i]) for i in first],
        },
    }


def _forced_image(table: Table, ids: NDArray[np.uint32]) -> NDArray[np.uint8] | None:
    try:
        image: NDArray[np.uint8] = table.decode(ids)
    except CorruptSymbols:
        return None
    return image


def _helped_images(right: Table, wrong: Table, many: list[NDArray[np.uint32]]) -> list[NDArray[np.uint8]]:
    """Spell the header and the mean with the right table, the rest with the wrong one; decode the longest prefix."""
    spelled, misspelled = phrases(right), phrases(wrong)
    lost = np.uint32(right.codec.alphabet - 1).tobytes()  # for ids that the wrong table has not: zeros
    images = []
    for ids in many:
        ranks = ids.astype(np.int64) - N_SPECIAL
        known = int(np.searchsorted(np.cumsum(right.lengths[ranks]), HEADER)) + 1
        told = [spelled[rank] for rank in ranks[:known]]
        guessed = [misspelled[rank] if rank < len(misspelled) else lost for rank in ranks[known:]]
        symbols = np.frombuffer(b"".join(told + guessed), np.uint32)
        images.append(right.codec.decode(symbols[: right.codec.prefixes(symbols)[-1]]))
    return images


def _psnr(originals: list[Any], decoded: list[Any]) -> float:
    """Return the peak signal-to-noise ratio in dB over all pixels."""
    error = np.mean([(a.astype(float) - b) ** 2 for a, b in zip(originals, decoded, strict=True)])
    return float(10 * np.log10(255**2 / error))


def _png(image: NDArray[np.uint8] | None) -> str | None:
    """Return an image as base64 of a PNG; None if there is none."""
    if image is None:
        return None
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode("ascii")
