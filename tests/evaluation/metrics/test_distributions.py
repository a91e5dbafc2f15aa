import itertools

import numpy as np
import pytest
from scipy.linalg import sqrtm

from facespeak_jax.evaluation.metrics import distributions


def test_frechet_equals_scipy():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(80, 6)) @ rng.normal(size=(6, 6))
    other = rng.normal(size=(90, 6)) + 0.5
    s1, s2 = np.cov(one.T), np.cov(other.T)
    shift = one.mean(0) - other.mean(0)
    expected = shift @ shift + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)
    assert distributions.frechet(one, other) == pytest.approx(expected, rel=1e-6)
    assert distributions.frechet(one, one) == pytest.approx(0, abs=1e-9)
    assert distributions.frechet(one + 2, one) == pytest.approx(4 * 6)


def test_fewer_pictures_than_features():
    rng = np.random.default_rng(1)
    one = rng.normal(size=(10, 40))
    assert distributions.frechet(one + 1, one) == pytest.approx(40)


def kernel_by_hand(found, real):
    def k(x, y):
        return (x @ y / len(x) + 1) ** 3

    def within(rows):
        return np.mean([k(x, y) for x, y in itertools.permutations(rows, 2)])

    cross = np.mean([k(x, y) for x in found for y in real])
    return within(found) + within(real) - 2 * cross


def test_kernel_equals_its_definition():
    rng = np.random.default_rng(2)
    found, real = rng.normal(size=(6, 4)), rng.normal(size=(8, 4)) + 0.3
    clip = np.repeat(np.arange(2), 3)
    found_interval = distributions.kernel(found, real, clip, np.repeat(np.arange(2), 4))
    assert found_interval.mean == pytest.approx(kernel_by_hand(found, real))
    assert found_interval.n == 2


def test_resampled_clips_enclose_the_mean_and_far_sets_are_farther():
    rng = np.random.default_rng(3)
    clip = np.repeat(np.arange(20), 4)
    real, near, far = (rng.normal(size=(80, 5)) + shift for shift in (0, 0.1, 1.0))
    close = distributions.kernel(near, real, clip, clip)
    apart = distributions.kernel(far, real, clip, clip)
    assert close.low < close.mean < close.high < apart.low < apart.mean < apart.high
