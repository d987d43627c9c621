"""Images a second of `image/dct` against Pillow's JPEG (libjpeg-turbo) at equal PSNR, whole batches, one thread.

CIFAR-10's test images are 32x32; the photographs are resized to 256x256. Ours and Pillow take turns, and each ratio is
the median of the turns' ratios, so that what else the machine does hits both.
"""

import io
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from image import PHOTO_QUALITY, cifar, psnr
from numpy.typing import NDArray
from PIL import Image
from result import data_folder, metric, write

from ult.codecs.image import ImageDct

Photo = NDArray[np.uint8]
TURNS = 15


def jpegs(images: Sequence[Photo], quality: int, *, optimize: bool = False) -> list[bytes]:
    """Return each image as a JPEG, perhaps with Huffman tables of its own."""
    files = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality, optimize=optimize)
        files.append(file.getvalue())
    return files


def pixels(files: Sequence[bytes]) -> list[Photo]:
    """Return the pixels of each JPEG."""
    return [np.asarray(Image.open(io.BytesIO(file))) for file in files]


def mean_psnr(images: Sequence[Photo], decoded: Sequence[Photo]) -> float:
    """Return the mean PSNR of images in dB."""
    return float(np.mean([psnr(np.square(a.astype(float) - b).mean()) for a, b in zip(images, decoded, strict=True)]))


def seconds(work: Callable[[], Any]) -> float:
    """Return the CPU seconds that `work` takes."""
    start = time.process_time()
    work()
    return time.process_time() - start


def turns(ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float]:
    """Return our median seconds, and the median of theirs over ours."""
    pairs = np.array([(seconds(ours), seconds(theirs)) for _ in range(TURNS)])
    return float(np.median(pairs[:, 0])), float(np.median(pairs[:, 1] / pairs[:, 0]))


def measure(name: str, images: Sequence[Photo], codec: ImageDct) -> list[dict[str, Any]]:
    """Return images a second, and the ratio to Pillow's, of encoding and decoding."""
    patches = codec.encode_batch(images)
    ends = patches.ends[patches.records - 1]
    ours = mean_psnr(images, codec.decode_batch(patches.symbols, ends))
    quality = min(range(1, 96), key=lambda q: abs(mean_psnr(images, pixels(jpegs(images, q))) - ours))
    files = jpegs(images, quality)
    metrics = [
        metric("PSNR", f"{name}, quality {codec.quality}", ours, n=len(images), higher_is_better=True, unit="dB"),
        metric(
            "PSNR",
            f"{name}, Pillow at {quality}",
            mean_psnr(images, pixels(files)),
            n=len(images),
            higher_is_better=True,
            unit="dB",
        ),
    ]
    for what, we, they in (
        ("encode", lambda: codec.encode_batch(images), lambda: jpegs(images, quality)),
        ("decode", lambda: codec.decode_batch(patches.symbols, ends), lambda: pixels(files)),
    ):
        spent, ratio = turns(we, they)
        common: dict[str, Any] = {"n": len(images), "higher_is_better": True}
        metrics.append(metric(what, name, len(images) / spent, unit="images/s", **common))
        metrics.append(metric(f"{what}, times Pillow", name, ratio, unit="x", goal="at least 0.5", **common))
    _, ratio = turns(lambda: codec.encode_batch(images), lambda: jpegs(images, quality, optimize=True))
    metrics.append(metric("encode, times Pillow, optimize=True", name, ratio, unit="x", **common))
    return metrics


def main() -> None:
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("set OMP_NUM_THREADS=1: the figures are of one thread")
    folder = data_folder() / "images"
    small = cifar(folder / "cifar10_test.parquet")
    large = [
        np.asarray(Image.open(path).convert("RGB").resize((256, 256)))
        for path in sorted((folder / "photos").glob("*.jpg"))[::4]
    ]
    metrics = measure("32x32", small, ImageDct())
    metrics += measure("256x256", large, ImageDct(quality=PHOTO_QUALITY))
    write("image-speed", metrics, command="OMP_NUM_THREADS=1 python bench/image_speed.py --data DATA")


if __name__ == "__main__":
    main()
