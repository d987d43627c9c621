"""The kernels in C, built so that they end at the first byte outside of their input: `python fuzz/sanitized.py`.

Needs gcc or clang with AddressSanitizer. Made-up texts, hostile and of all lengths, are encoded from bytes, lists and
lines, counted, and their merges learnt, by both ways to cut; arrays are just as long as they have to be. Images of all
sizes are encoded by both ways as well, at any quality; then again by a library that gives a tile few rounds to settle,
without which none ever becomes flat.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ult.codecs.dct import in_c
from ult.codecs.image import ImageDct
from ult.codecs.text import TextBytes, joined_utf8
from ult.codecs.utf8 import is_utf8
from ult.host import native
from ult.owner.bpe import text
from ult.owner.bpe.counts import PatchCounts
from ult.owner.bpe.learner import learned
from ult.owner.bpe.text import TextSegmenter

FLAGS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O1", "-g", "-std=c11", "-fPIC", "-shared"]
ROUNDS = "PATIENCE = 16, ROUNDS = 64"  # of a tile, as image.h has them
PIECES = [
    *"aZ09 \t\n\r'\".~\0\x7f", "don't", " '", "'s's", "12345678901", "\xa0", "\xab", "\u2019", "\u2bff", "\u2c00",
    "\u3000", "\u6f22", "\U0001f600", "\U0001f5ff\u200d", "\U00020000", "\ud800", "x" * 63, "x" * 65, "!" * 64 + "'t",
    " " * 64 + "a", "\n" * 130, "\xe9" * 40, "\U0001f600" * 20, "9" * 200, "the ", " and", "word",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--library", type=Path, help="the folder of the library, which this script builds otherwise")
    parser.add_argument("--hasty", action="store_true", help="images alone, with few rounds")
    asked = parser.parse_args()
    if asked.library is None:
        told = ["--inputs", str(asked.inputs), "--seed", str(asked.seed)]
        whole = 0 if asked.hasty else built_and_run(ROUNDS, told)
        sys.exit(whole or built_and_run("PATIENCE = 2, ROUNDS = 4", [*told, "--hasty"]))
    native.FOLDER = asked.library
    assert native.library() is not None, "the library was not built"
    for k in range(asked.seed, asked.seed + asked.inputs):
        (images if asked.hasty else one)(random.Random(k))
    print(f"{asked.inputs:,} inputs{' of images in few rounds' * asked.hasty}: no byte outside, nothing undefined")


def built_and_run(rounds: str, told: Sequence[str]) -> int:
    """Build the library with sanitizers and so many rounds, run this script with it, and return how that ended."""
    compiler = next(filter(None, map(shutil.which, ("gcc", "clang"))), None)
    if compiler is None:
        print("no gcc or clang: nothing was tried")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        for path in [*native.FOLDER.glob("*.c"), *native.FOLDER.glob("*.h")]:
            shutil.copy(path, folder)
        header = Path(folder, "image.h")
        assert ROUNDS in header.read_text()
        header.write_text(header.read_text().replace(ROUNDS, rounds))
        made = f'-DULT_SOURCES="{native.sources(Path(folder))}"'
        sources = sorted(map(str, Path(folder).glob("*.c")))
        subprocess.run([compiler, *FLAGS, made, *sources, "-o", f"{folder}/kernels.so"], check=True)
        asan = subprocess.run([compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
        environment = {
            **os.environ,
            "LD_PRELOAD": asan.stdout.strip(),
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
            "PYTHONMALLOC": "malloc",
        }
        return subprocess.run([sys.executable, __file__, "--library", folder, *told], env=environment).returncode


def one(draw: random.Random) -> None:
    """Give the library what a generator draws; both ways to cut must agree."""
    text._ROWS = 1 << draw.choice((6, 10, 19))  # type: ignore[misc]
    records = ["".join(draw.choices(PIECES, k=draw.randrange(12))) for _ in range(draw.randrange(1, 20))]
    if draw.random() < 0.02:
        records.append(draw.choice(PIECES) * draw.randrange(30_000))
    data, stops = joined_utf8(records, 2**28)
    plain = [record for record in records if record.isascii()]
    lines = np.frombuffer("\n".join(plain).encode(), np.uint8).copy()
    library, merges = native.library(), np.array([[97, 97], [32, 116], [257, 104], [258, 101]], np.int32)
    found = []
    for simple in (False, True):
        kernel = TextSegmenter(library, merges, np.arange(5, 265, dtype=np.uint32))
        found.append([
            kernel.ids(data.copy(), stops, plain=simple),
            kernel.ids_of_list(plain, 2**28, plain=simple),
            kernel.ids_of_lines([memoryview(lines)] if len(lines) else [], len(lines), plain=simple),
        ])  # fmt: skip
    for (ids, ends), (others, stops_of_others) in zip(*found, strict=True):
        assert np.array_equal(ids, others)
        assert np.array_equal(ends, stops_of_others)
    limit = draw.choice((1, 2, 5))
    counts = PatchCounts(min_records=limit)
    counts.add_records(TextBytes(), records)
    learned(*counts.patches(), 256, draw.randrange(40), limit)
    odd = np.frombuffer(bytes(draw.choices(b"a\x80\xa0\xbf\xc2\xe0\xed\xf0\xf4\xff", k=draw.randrange(80))), np.uint8)
    is_utf8(memoryview(odd.copy()))
    images(draw)


def images(draw: random.Random) -> None:
    """Encode some images by both ways, which must agree, with room for their symbols or too little."""
    in_c._USUAL = draw.choice((8, 1000))  # type: ignore[misc]
    rng = np.random.default_rng(draw.randrange(2**32))
    quality, kept, places = draw.choice((1, 30, 65, 90, 100)), draw.choice((1, 3, 8, 8)), draw.choice((0, 4))
    codec = ImageDct(quality=quality, coefficients=kept, places=places)
    found = []
    for _ in range(draw.randrange(1, 4)):
        sides = [draw.randrange(1, draw.choice((3, 40, 40, 150))) for _ in range(2)]
        shape = (*sides, draw.choice((1, 3, 4)))
        noise = rng.integers(0, 256, shape) * draw.choice((0, 0.1, 1)) + draw.choice((0, 100, 230))
        found.append(np.clip(noise, 0, 255).astype(np.uint8))
    encoder = codec._encoder
    assert encoder is not None
    one, other = encoder.encode(found), encoder.encode(found, plain=True)
    assert np.array_equal(one.symbols, other.symbols)
    assert np.array_equal(one.ends, other.ends)


if __name__ == "__main__":
    main()
