"""The papers' images: 8x8 blocks, cosine transform, 3x3 low frequencies a channel, one decimal, ranks as ids.

A block is 27 values, red, green, blue in turn, and a separator stands between blocks: 447 symbols an image of 32x32.
Kinder than the reference: its string is not cut again by a text tokenizer, so a symbol is one id. As there, a value
that was never seen becomes the next larger one, and a decoded image is stretched to the whole range of grey levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ult.public.vocabulary import N_SPECIAL

SIDE, KEPT = 8, 3
Image = NDArray[np.uint8]  # (h, w, 3), sides of whole blocks
Ids = NDArray[np.uint32]


class PaperImages:
    """The pipeline, fitted on the images to train on, all of one size."""

    codec = "paper/dct"

    def __init__(self, train: Sequence[Image]) -> None:
        self._values, counts = np.unique(np.concatenate([values(image).ravel() for image in train]), return_counts=True)
        self._ranks = np.empty(len(counts), np.uint32)
        self._ranks[np.argsort(-counts, kind="stable")] = np.arange(len(counts))
        self.size = N_SPECIAL + 1 + len(counts)

    def encode(self, images: Sequence[Image]) -> list[Ids]:
        """Return the ids of each image; the first is the separator."""
        found = []
        for image in images:
            ids = np.full((image.shape[0] * image.shape[1] // SIDE**2, 3 * KEPT**2 + 1), N_SPECIAL, np.uint32)
            ids[:, :-1] += 1 + self._ranks[self._places(image)]
            found.append(ids.ravel()[:-1])
        return found

    def restored(self, image: Image, *, stretched: bool = True) -> Image:
        """Return what comes back of an image; `stretched` as the reference does it, or else as it was."""
        from scipy.fft import idctn

        height, width = image.shape[:2]
        kept = self._values[self._places(image)].reshape(-1, 3, KEPT, KEPT)
        frequencies = np.zeros((len(kept), 3, SIDE, SIDE))
        frequencies[:, :, :KEPT, :KEPT] = kept
        blocks = idctn(frequencies, axes=(2, 3)).reshape(width // SIDE, height // SIDE, 3, SIDE, SIDE)
        samples = blocks.transpose(1, 3, 0, 4, 2).reshape(height, width, 3)
        if stretched and samples.max() > samples.min():
            samples = (samples - samples.min()) / (samples.max() - samples.min())
        return np.clip(np.rint(255 * samples), 0, 255).astype(np.uint8)

    def _places(self, image: Image) -> NDArray[np.int64]:
        return np.minimum(np.searchsorted(self._values, values(image)), len(self._values) - 1)


def values(image: Image) -> NDArray[np.float32]:
    """Return the rounded coefficients (blocks, 27) of an image, columns of blocks from left to right."""
    from scipy.fft import dctn

    height, width = image.shape[:2]
    blocks = (image / 255).reshape(height // SIDE, SIDE, width // SIDE, SIDE, 3).transpose(2, 0, 4, 1, 3)
    kept = dctn(blocks, axes=(3, 4)).round(1)[..., :KEPT, :KEPT]
    return kept.astype(np.float16).astype(np.float32).reshape(-1, 3 * KEPT**2)


def psnr(images: Sequence[Image], restored: Sequence[Image]) -> float:
    """Return the mean peak signal-to-noise ratio in dB; an image that came back exactly counts as 100."""
    errors = [np.mean((a.astype(float) - b) ** 2) for a, b in zip(images, restored, strict=True)]
    return float(np.mean([10 * np.log10(255**2 / error) if error else 100.0 for error in errors]))
