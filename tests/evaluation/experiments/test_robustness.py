import numpy as np
import pytest

from facespeak_jax.evaluation.experiments import robustness
from tests.faces import astronaut

PICTURE = np.random.default_rng(0).integers(40, 200, (32, 32, 3)).astype(np.uint8)


def test_light():
    np.testing.assert_array_equal(robustness.lit(PICTURE, 1.0), PICTURE)
    assert robustness.lit(PICTURE, 0.5).mean() == pytest.approx(PICTURE.mean() / 2, abs=0.5)
    assert robustness.lit(PICTURE, 9.0).min() == 255


def test_blur_keeps_the_light_and_takes_the_detail():
    soft = robustness.blurred(PICTURE, 2.0)
    assert soft.mean() == pytest.approx(PICTURE.mean(), abs=2)
    assert soft.std() < 0.3 * PICTURE.std()


def test_compression_takes_more_at_less_quality():
    far = [
        np.abs(robustness.compressed(PICTURE, quality).astype(int) - PICTURE).mean()
        for quality in (95.0, 30.0, 5.0)
    ]
    assert far == sorted(far)


def test_noise_has_its_deviation_and_is_the_same_every_time():
    grey = np.full((64, 64, 3), 128, np.uint8)
    found = robustness.noisy(grey, 10.0)
    assert found.std() == pytest.approx(10, rel=0.05)
    np.testing.assert_array_equal(found, robustness.noisy(grey, 10.0))


def test_turning_is_clockwise_and_keeps_the_size():
    picture = np.zeros((33, 33, 3), np.uint8)
    picture[4:8, 15:18] = 255  # at the top
    right = robustness.turned(picture, 90.0)
    assert right.shape == picture.shape
    bright = np.argwhere(right[..., 0] > 128).mean(axis=0)
    np.testing.assert_allclose(bright, [16, 27], atol=1.5)
    np.testing.assert_array_equal(robustness.turned(picture, 0.0), picture)


def test_a_cover_hides_its_share():
    hidden = robustness.covered(PICTURE, 0.25)
    changed = (hidden != PICTURE).any(axis=-1)
    assert changed[16:24, 16:24].mean() > 0.9
    changed[16:24, 16:24] = False
    assert not changed.any()


def test_every_disturbance_leaves_a_picture():
    picture = np.asarray(astronaut())
    for disturb, strengths in robustness.DISTURBANCES.values():
        for strength in strengths:
            found = disturb(picture, strength)
            assert found.shape == picture.shape
            assert found.dtype == np.uint8
