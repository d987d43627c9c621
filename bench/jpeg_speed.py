"""JPEG files to symbols by `image/jpeg`, beside their pixels by Pillow, alone and followed by `image/dct`, one thread.

CIFAR-10's test images are files of 32x32, the photographs have up to 256 pixels a side at quality 88. `image/jpeg`
keeps the files' own levels, so it loses nothing; `image/dct` has the quality of the other rows, 50 and 65, and so fewer
ids. Tables of 8,192 ids are fitted on 8,000 training images, and on three photographs of four, and ids are counted on
the other images. Where files become files again, Pillow writes the pixels at quality 75, which loses more.
"""

import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from image import PHOTO_QUALITY, SIZE
from numpy.typing import NDArray
from PIL import Image
from session import counted, data_folder, metric, write
from timing import compared, turns

import ult
from ult.codecs.image import ImageDct
from ult.codecs.jpeg import ImageJpeg

TRAIN = 8000
TURNS = 15


def pixels(files: Sequence[bytes]) -> list[NDArray[np.uint8]]:
    """Return the pixels of each file."""
    return [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]


def written(images: Sequence[NDArray[np.uint8]]) -> list[bytes]:
    """Return each image as a JPEG file of Pillow's usual quality."""
    files = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG")
        files.append(file.getvalue())
    return files


def measure(name: str, train: Sequence[bytes], test: Sequence[bytes], codec: ImageDct) -> list[dict[str, Any]]:
    """Time both ways from files to symbols and back, and count ids and bytes."""
    exact, images = ImageJpeg(), pixels(test)
    patches = exact.encode_batch(test)
    ends = patches.ends[patches.records - 1]
    again = exact.decode_batch(patches.symbols, ends)
    assert all(np.array_equal(a, b) for a, b in zip(pixels(again), images, strict=True)), "other pixels"
    n, size = len(test), sum(map(len, test))
    into = turns(
        {
            "image/jpeg": lambda: exact.encode_batch(test),
            "image/dct": lambda: codec.encode_batch(pixels(test)),
            "Pillow": lambda: pixels(test),
        },
        rounds=TURNS,
    )
    back = turns(
        {"image/jpeg": lambda: exact.decode_batch(patches.symbols, ends), "Pillow": lambda: written(images)},
        rounds=TURNS,
    )
    of: dict[str, Any] = {"amount": n, "unit": "images", "n": n}
    metrics = [
        compared(f"file to symbols, {name}", into, "image/jpeg", ["image/dct"], goal="at least 1", **of),
        compared(
            f"file to symbols beside pixels alone, {name}", into, "image/jpeg", ["Pillow"], goal="at least 1", **of
        ),
        compared(f"symbols to file beside pixels to file, {name}", back, "image/jpeg", ["Pillow"], goal="", **of),
    ]
    learnt: dict[str, Any] = {"vocabulary": ult.Vocabulary(SIZE), "min_records": 1}
    own = ult.Table.fit(train, codec=exact, **learnt)
    found = [own.encode_batch(test), ult.Table.fit(pixels(train), codec=codec, **learnt).encode_batch(images)]
    less: dict[str, Any] = {"n": n, "higher_is_better": False}
    for system, ids in zip(("image/jpeg", f"image/dct at {codec.quality}"), found, strict=True):
        total = sum(map(len, ids))
        metrics.append(metric(f"ids an image, {name}", system, counted(total / n), unit="ids", **less))
        bits = total * (SIZE - 1).bit_length() / 8
        metrics.append(
            metric(f"ids of 13 bits beside the file, {name}", system, counted(bits / size), unit="x", **less)
        )
    share = sum(map(len, again)) / size
    return [*metrics, metric(f"file again beside the file, {name}", "image/jpeg", counted(share), unit="x", **less)]


def main() -> None:
    if os.environ.get("OMP_NUM_THREADS") != "1":
        raise SystemExit("set OMP_NUM_THREADS=1: the figures are of one thread")
    folder = data_folder() / "images"
    small = [pq.read_table(folder / f"cifar10_{part}.parquet")["jpeg"].to_pylist() for part in ("train", "test")]
    photos = [path.read_bytes() for path in sorted((folder / "photos").glob("*.jpg"))]
    rest = [photo for k, photo in enumerate(photos) if k % 4]
    metrics = measure("32x32", small[0][:TRAIN], small[1], ImageDct(places=4))
    metrics += measure("photographs", rest, photos[::4], ImageDct(quality=PHOTO_QUALITY, places=4))
    write(
        "jpeg-speed",
        "Speed of JPEG files",
        metrics,
        __doc__,
        command="OMP_NUM_THREADS=1 python bench/jpeg_speed.py --data DATA",
    )


if __name__ == "__main__":
    main()
