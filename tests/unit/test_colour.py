"""Colours beside the photo's pixels are continued into what the photo does not show."""

import numpy as np

from sdaug.diffusion.colour import in_tune


def picture(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(60, 190, (128, 128, 3)).astype(np.uint8)


def test_a_tint_of_the_whole_picture_is_taken_back_in_the_hole_too():
    photo = picture()
    stays = np.ones((128, 128), np.float32)
    stays[32:96, 64:] = 0
    tinted = (photo + np.array([20, -15, 5])).astype(np.uint8)
    assert np.abs(in_tune(tinted, photo, stays).astype(int) - photo)[stays == 0].max() <= 1


def test_each_side_of_a_hole_gets_its_own_shift():
    photo = np.full((256, 256, 3), 100, np.uint8)
    diffused = photo.copy()
    diffused[:, :128] += 20
    diffused[:, 128:] -= 20
    stays = np.ones((256, 256), np.float32)
    stays[:, 48:208] = 0
    tuned = in_tune(diffused, photo, stays).astype(int) - diffused
    assert tuned[128, 56].max() < -12 and tuned[128, 200].min() > 12


def test_detail_stays_and_nothing_to_compare_with_changes_nothing():
    photo, diffused = picture(), picture(1)
    assert in_tune(diffused, photo, np.zeros((128, 128), np.float32)) is diffused
    tuned = in_tune(diffused, photo, np.ones((128, 128), np.float32)).astype(float)
    change = tuned - diffused
    assert np.abs(np.diff(change, axis=0)).mean() < 3 < np.abs(np.diff(diffused.astype(float), axis=0)).mean()
