import numpy as np
import pytest

from facespeak_jax.evaluation.metrics import codes


def test_step_of_noise_and_of_a_slow_wave():
    noise = np.random.default_rng(0).normal(size=(4000, 3))
    assert codes.step(noise) == pytest.approx(np.sqrt(2), rel=0.02)
    t = np.arange(1000)[:, None]
    # Of a sine of a period of p frames it is 2 sin(π/p).
    assert codes.step(5 + np.sin(2 * np.pi * t / 100)) == pytest.approx(
        2 * np.sin(np.pi / 100), rel=1e-2
    )
    assert np.isnan(codes.step(np.ones((5, 2))))


def test_covered_range_is_a_share_of_the_real_one():
    real = np.random.default_rng(0).normal(size=(3000, 4))
    assert codes.covered_range(real, real) == 1.0
    assert codes.covered_range(0.5 * real + 7, real) == pytest.approx(0.5)
    still = np.zeros((9, 4))
    assert codes.covered_range(still, real) == 0.0
    half = real * np.array([1, 1, 0, 0])
    assert codes.covered_range(half, half) == 1.0  # channels that never move do not count
    assert np.isnan(codes.covered_range(real, np.zeros((9, 4))))


def test_spread_over_seeds():
    rng = np.random.default_rng(0)
    real, one = rng.normal(size=(5000, 2)), rng.normal(size=(9, 2))
    assert codes.seed_spread(np.stack([one, one]), real) == 0.0
    assert codes.seed_spread(np.stack([one - 1, one + 1]), real) == pytest.approx(1.0, rel=0.03)
    assert np.isnan(codes.seed_spread(np.stack([one, one]), np.zeros((5, 2))))
