import numpy as np
import pytest
from scipy import ndimage
from skimage.metrics import structural_similarity

from facespeak_jax.evaluation.metrics import pictures


def noise(seed, size=32):
    picture = np.random.default_rng(seed).integers(0, 256, (size, size + 4, 3))
    return ndimage.uniform_filter(picture, (3, 3, 1)).astype(np.uint8)


def test_l1():
    assert pictures.l1(np.full((2, 2, 3), 7, np.uint8), np.full((2, 2, 3), 250, np.uint8)) == 243
    assert pictures.l1(noise(0), noise(0)) == 0


def test_ssim_equals_skimage():
    one, other = noise(0), noise(1)
    expected = structural_similarity(
        one,
        other,
        channel_axis=-1,
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert pictures.ssim(one, other) == pytest.approx(expected, abs=1e-9)
    assert pictures.ssim(one, one) == pytest.approx(1.0)


def test_sharpness_equals_scipy_and_falls_with_blur():
    picture, box = noise(2), np.array([0.25, 0.25, 0.75, 0.5])
    grey = picture.astype(float) @ np.array([0.299, 0.587, 0.114])
    expected = np.square(ndimage.laplace(grey, mode="nearest")[8:16, 9:27]).mean()
    assert pictures.sharpness(picture, box) == pytest.approx(expected)
    blurred = ndimage.gaussian_filter(picture, (1, 1, 0))
    assert pictures.sharpness(blurred, box) < 0.5 * pictures.sharpness(picture, box)
    assert np.isnan(pictures.sharpness(picture, np.zeros(4)))
