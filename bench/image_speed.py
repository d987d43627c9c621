"""Images a second of `image/dct` against JPEG by Pillow and by simplejpeg at equal PSNR, whole batches, one thread.

CIFAR-10's test images are 32x32; the photographs are resized to 256x256. Pillow and simplejpeg both call libjpeg-turbo,
simplejpeg with less around it: they have one quality, chroma subsampled by two (4:2:0), as ours is, the accurate
integer DCT, and Huffman tables of the standard; "optimize" has its own. PyTurboJPEG brings no library and is left out.
A JPEG encoder looks at a block once. Ours looks twice, since what was decoded must encode to itself: a tile is decoded,
unless its levels alone prove that no pixel is clipped and that rounding cannot matter, and what changed is encoded
again. That is half of its time, and what keeps it below Pillow at 256x256.
"""

import bisect
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import simplejpeg
from image import PHOTO_QUALITY, cifar, psnr
from numpy.typing import NDArray
from PIL import Image
from session import data_folder, metric, unmeasured, write
from timing import compared, turns

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


def turbo_jpegs(images: Sequence[Photo], quality: int) -> list[bytes]:
    """Return each image as a JPEG by simplejpeg."""
    return [simplejpeg.encode_jpeg(image, quality=quality, colorsubsampling="420") for image in images]


def turbo_pixels(files: Sequence[bytes]) -> list[Photo]:
    """Return the pixels of each JPEG by simplejpeg."""
    return [simplejpeg.decode_jpeg(file) for file in files]


def mean_psnr(images: Sequence[Photo], decoded: Sequence[Photo]) -> float:
    """Return the mean PSNR of images in dB."""
    return float(np.mean([psnr(np.square(a.astype(float) - b).mean()) for a, b in zip(images, decoded, strict=True)]))


def nearest_quality(images: Sequence[Photo], wanted: float) -> int:
    """Return the quality of Pillow's from 1 to 95 whose PSNR, which grows with it, comes nearest to `wanted` dB."""

    def found(quality: int) -> float:
        return mean_psnr(images, pixels(jpegs(images, quality)))

    above = bisect.bisect_left(range(2, 95), wanted, key=found) + 2
    return min((above - 1, above), key=lambda quality: abs(found(quality) - wanted))


def measure(name: str, images: Sequence[Photo], codec: ImageDct) -> list[dict[str, Any]]:
    """Compare encoding and decoding at the quality of Pillow's that comes nearest to our PSNR."""
    patches = codec.encode_batch(images)
    ends = patches.ends[patches.records - 1]
    ours = mean_psnr(images, codec.decode_batch(patches.symbols, ends))
    quality = nearest_quality(images, ours)
    files, turbo_files = jpegs(images, quality), turbo_jpegs(images, quality)
    about: dict[str, Any] = {"n": len(images), "higher_is_better": True, "unit": "dB"}
    metrics = [
        metric("PSNR", f"{name}, {system}", unmeasured(found), **about)
        for system, found in (
            (f"image/dct at {codec.quality}", ours),
            (f"Pillow at {quality}", mean_psnr(images, pixels(files))),
            (f"simplejpeg at {quality}", mean_psnr(images, turbo_pixels(turbo_files))),
        )
    ]
    encode = {
        "image/dct": lambda: codec.encode_batch(images),
        "Pillow": lambda: jpegs(images, quality),
        "Pillow, optimize": lambda: jpegs(images, quality, optimize=True),
        "simplejpeg": lambda: turbo_jpegs(images, quality),
    }
    decode = {
        "image/dct": lambda: codec.decode_batch(patches.symbols, ends),
        "Pillow": lambda: pixels(files),
        "simplejpeg": lambda: turbo_pixels(turbo_files),
    }
    size: dict[str, Any] = {"amount": len(images), "unit": "images", "n": len(images)}
    for what, runs, goals in (
        ("encode", encode, {"Pillow": "at least 1", "Pillow, optimize": "", "simplejpeg": "at least 0.5"}),
        ("decode", decode, {"Pillow": "at least 1", "simplejpeg": ""}),
    ):
        seconds = turns(runs, rounds=TURNS)
        metrics += [
            compared(f"{what}, {name}", seconds, "image/dct", [peer], goal=goal, **size) for peer, goal in goals.items()
        ]
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
    write(
        "image-speed",
        "Speed of images",
        metrics,
        __doc__,
        command="OMP_NUM_THREADS=1 python bench/image_speed.py --data DATA",
    )


if __name__ == "__main__":
    main()
