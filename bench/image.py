"""PSNR and ids of `image/dct` on CIFAR-10 and on photographs, tables fitted on other images of the same kind.

The codec was tuned on CIFAR-10's test images and on the photographs of split 0. So two rows measure it where it was
not tuned: on the last 2,000 training images of CIFAR-10, and on three other splits of the photographs.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image
from session import counted, data_folder, metric, unmeasured, write

import ult
from ult.codecs.image import ImageDct

SIZE = 8192
TUNED, OTHER = 0, (1, 2, 3)  # seeds of the splits of the photographs
HELD_OUT = 2000
PHOTO_QUALITY = 65


def cifar(path: Path) -> list[NDArray[np.uint8]]:
    """Return the RGB images of a Parquet column `jpeg`."""
    return [np.asarray(Image.open(io.BytesIO(b)).convert("RGB")) for b in pq.read_table(path)["jpeg"].to_pylist()]


def photographs(folder: Path, seed: int) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Return three quarters of the photographs, and the rest."""
    photos = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(folder.glob("*.jpg"))]
    order = np.random.default_rng(seed).permutation(len(photos))
    cut = len(photos) * 3 // 4
    return [photos[i] for i in order[:cut]], [photos[i] for i in order[cut:]]


def measure(
    train: Sequence[NDArray[np.uint8]], test: Sequence[NDArray[np.uint8]], codec: ImageDct
) -> tuple[float, float, float, float]:
    """Return mean PSNR, PSNR of the pooled error (both dB), ids per image and ids per pixel of `test`."""
    table = ult.Table.fit(train, codec=codec, vocabulary=ult.Vocabulary(SIZE), min_records=1)
    ids = table.encode_batch(test)
    decoded = table.decode_batch(ids)
    assert all(np.array_equal(table.decode(table.encode(d)), d) for d in decoded[:200])
    errors = [np.square(a.astype(float) - b) for a, b in zip(test, decoded, strict=True)]
    each = np.array([e.mean() for e in errors])
    pooled = sum(e.sum() for e in errors) / sum(e.size for e in errors)
    total = sum(map(len, ids))
    pixels = sum(x.shape[0] * x.shape[1] for x in test)
    return float(psnr(each).mean()), float(psnr(pooled)), total / len(test), total / pixels


def psnr(error: Any) -> Any:
    """Return the PSNR in dB of mean squared errors of 8-bit samples."""
    return 10 * np.log10(255**2 / np.maximum(error, 1e-9))


def main() -> None:
    folder = data_folder() / "images"
    train, test = cifar(folder / "cifar10_train.parquet"), cifar(folder / "cifar10_test.parquet")
    metrics = []
    for codec, images, held, loud, short in (
        (ImageDct(), (train, test), "test", "at least 24", "at most 56"),
        (ImageDct(), (train[:-HELD_OUT], train[-HELD_OUT:]), "images not tuned on", "at least 24", "at most 56"),
        (ImageDct(coefficients=3), (train, test), "test", "", ""),
    ):
        name = f"CIFAR-10 {held}, quality {codec.quality}, {codec.coefficients}x{codec.coefficients}"
        mean, pooled, per_image, _ = measure(*images, codec)
        n = len(images[1])
        metrics.append(metric("PSNR, mean of images", name, unmeasured(mean), n=n, goal=loud, **_DB))
        metrics.append(metric("PSNR, of the pooled error", name, unmeasured(pooled), n=n, **_DB))
        metrics.append(metric("ids per image", name, counted(per_image), n=n, goal=short, **_IDS))
    for seeds, held in (((TUNED,), "test"), (OTHER, "other splits")):
        splits = [photographs(folder / "photos", seed) for seed in seeds]
        figures = [measure(*split, ImageDct(quality=PHOTO_QUALITY)) for split in splits]
        mean, pooled, _, per_pixel = np.mean(figures, axis=0)
        name, n = f"photographs, {held}, quality {PHOTO_QUALITY}", sum(len(split[1]) for split in splits)
        metrics.append(
            metric("PSNR, mean of images", name, unmeasured(mean), n=n, seeds=seeds, goal="at least 30", **_DB)
        )
        metrics.append(metric("PSNR, of the pooled error", name, unmeasured(pooled), n=n, seeds=seeds, **_DB))
        metrics.append(
            metric("ids per pixel", name, counted(per_pixel), n=n, seeds=seeds, goal="at most 0.0727", **_IDS)
        )
    write("image-quality", "Quality of images", metrics, __doc__, command="python bench/image.py --data DATA")


_DB: dict[str, Any] = {"higher_is_better": True, "unit": "dB"}
_IDS: dict[str, Any] = {"higher_is_better": False, "unit": "ids"}

if __name__ == "__main__":
    main()
