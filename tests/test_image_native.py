"""Images are encoded in C as their twin in Numba encodes them, to the last symbol, whatever the processor has."""

import copy
import pickle

import numpy as np
import pytest

from test_image import hostile_images, scene
from ult.codecs.dct import in_c
from ult.codecs.image import ImageDct
from ult.host import native

built = pytest.mark.skipif(native.library() is None, reason="the kernels in C were not built")


def without(codec):
    """Return a codec that encodes as where the kernels in C were not built."""
    found = type(codec)(**codec.config())
    found._encoder = None
    return found


def same(codec, images):
    right = without(codec).encode_batch(images)
    pixels = [np.ascontiguousarray(codec._pixels(image)) for image in images]
    for plain in (False, True):
        found = codec._encoder.encode(pixels, plain=plain)
        for name in ("symbols", "ends", "records"):
            np.testing.assert_array_equal(getattr(found, name), getattr(right, name))


def photographs():
    """Yield images with what the hostile ones lack: soft blocks, steep ones and clipped ones beside each other."""
    rng = np.random.default_rng(3)
    for seed in range(4):
        soft = np.repeat(np.repeat(rng.normal(0, 9, (9, 11, 3)), 8, 0), 8, 1)
        image = scene((72, 88, 3), seed) * rng.uniform(0.3, 1.2) + soft
        yield np.clip(image, 0, 255).astype(np.uint8)


@built
@pytest.mark.parametrize("quality", [1, 30, 65, 85, 100])
def test_symbols_are_those_of_the_twin(quality):
    images = [*hostile_images(), *photographs()]
    for coefficients, places in ((8, 0), (8, 4), (3, 0), (1, 8)):
        same(ImageDct(quality=quality, coefficients=coefficients, places=places), images)


@built
def test_what_float32_leaves_in_doubt_is_computed_exactly():
    codec = ImageDct(quality=80)
    for name in ("_luma", "_chroma"):
        plane = getattr(codec, name)
        setattr(codec, name, plane._replace(doubt=0.9, least=plane.least - np.float32(1)))
    same(codec, list(photographs()))


@built
def test_there_is_room_for_any_number_of_symbols(monkeypatch):
    monkeypatch.setattr(in_c, "_USUAL", 10**9)  # so that arrays grow
    images = [*photographs(), np.zeros((1, 1), np.uint8)] * 3
    for places in (0, 4):
        same(ImageDct(quality=90, places=places), images)
    assert len(ImageDct().encode_batch([]).records) == 0


@built
def test_views_and_copies_are_encoded_alike():
    codec, image = ImageDct(), next(photographs())
    right = codec.encode(image).symbols
    for one in (pickle.loads(pickle.dumps(codec)), copy.deepcopy(codec)):  # noqa: S301
        np.testing.assert_array_equal(one.encode(image).symbols, right)
    wide = np.zeros((72, 200, 3), np.uint8)
    wide[:, 50:138] = image
    np.testing.assert_array_equal(codec.encode(wide[:, 50:138]).symbols, right)
    image.flags.writeable = False
    np.testing.assert_array_equal(codec.encode(image).symbols, right)
