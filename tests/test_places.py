"""`image/dct` with `places`: the same images in symbols that say which frequency, level and place they stand for."""

import numpy as np
import pytest

from strategies import IMAGES
from ult.codecs.image import ImageDct


@pytest.mark.parametrize(("quality", "places", "coefficients"), [(50, 4, 8), (100, 1, 8), (1, 8, 3)])
def test_places_are_other_symbols_for_the_same_image(quality, places, coefficients):
    plain, placed = (ImageDct(quality=quality, coefficients=coefficients, places=n) for n in (0, places))
    for record in IMAGES.values():
        patches = placed.encode(record)
        np.testing.assert_array_equal(placed.decode(patches.symbols), plain.decode(plain.encode(record).symbols))
        assert patches.symbols.max() < placed.alphabet
        assert np.diff(patches.ends, prepend=0).max() <= placed.max_patch


def test_symbols_with_places_are_as_documented():
    grey = np.full((9, 20), 200, np.uint8)
    grey[:8, 8:16] += np.where(np.arange(8) < 4, 30, -30).astype(np.uint8)[None]
    patches = ImageDct(places=2).encode(grey)
    # Three blocks in two rows; only the third lies in the right half. 200 is 13 steps above the middle grey.
    assert [part.tolist() for part in np.split(patches.symbols, patches.ends[:-1])] == [
        [0, 8 + 1, 1, 8 + 4, 2],  # no channels, 9, 20
        [8, 8 + 1, 3, 81],  # 200
        [48 + 13, 81],
        [81, 97 + 4 + 2],  # level 3 at position 1
        [81, 97 + 5 * 8 + 3],  # level -1 at position 6
        [48 + 13, 82],
        [48 + 13, 83],
        [48 + 13, 83],
        [48 + 13, 84],
    ]
