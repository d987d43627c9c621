"""Images as in the papers, against their description: levels of a block, number of ids, decoded pixels."""

import sys
from pathlib import Path

import numpy as np
import pytest

from ult.public.vocabulary import N_SPECIAL

sys.path.insert(0, str(Path(__file__).parent.parent / "runs"))

from lib import paper_image


def image(seed):
    coarse = np.random.default_rng(seed).uniform(0, 255, (4, 4, 3))
    return np.clip(coarse.repeat(8, 0).repeat(8, 1), 0, 255).astype(np.uint8)


def test_an_image_of_32_by_32_takes_447_ids():
    images = [image(k) for k in range(4)]
    code = paper_image.PaperImages(images)
    ids = code.encode(images)
    assert [len(one) for one in ids] == [447] * 4
    assert all((one[27::28] == N_SPECIAL).all() and (one == N_SPECIAL).sum() == 15 for one in ids)
    assert max(one.max() for one in ids) == code.size - 1
    assert np.bincount(np.concatenate(ids))[N_SPECIAL + 1] == max(np.bincount(np.concatenate(ids))[N_SPECIAL + 1 :])


def test_blocks_go_down_columns_and_a_flat_one_has_its_mean_only():
    one = np.zeros((16, 16, 3), np.uint8)
    one[8:, :8, 1] = 255
    found = paper_image.values(one)
    assert found.shape == (4, 27)
    expected = np.zeros((4, 27))
    expected[1, 9] = 256  # scipy's transform is not normalised: 4 times the sum of 64 ones
    assert np.array_equal(found, expected)


def test_an_image_comes_back_stretched_to_its_own_range():
    one = image(0)
    code = paper_image.PaperImages([one])
    plain = code.restored(one, stretched=False)
    assert np.abs(plain.astype(int) - one).max() <= 1
    stretched = code.restored(one).astype(int)
    assert (stretched.min(), stretched.max()) == (0, 255)
    dark = one // 4
    assert paper_image.PaperImages([dark]).restored(dark).max() == 255  # brightness is lost


def test_an_unseen_value_becomes_the_next_larger_one():
    code = paper_image.PaperImages([np.full((8, 8, 3), level, np.uint8) for level in (0, 51, 102)])
    between, beyond = (code.restored(np.full((8, 8, 3), level, np.uint8), stretched=False) for level in (30, 200))
    assert (between == 51).all()
    assert (beyond == 102).all()


def test_psnr_is_the_known_one():
    black, grey = np.zeros((8, 8, 3), np.uint8), np.full((8, 8, 3), 16, np.uint8)
    assert paper_image.psnr([black], [grey]) == pytest.approx(20 * np.log10(255 / 16))
    assert paper_image.psnr([black], [black]) == 100
