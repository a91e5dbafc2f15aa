import numpy as np
import pytest
from scipy.stats import pearsonr

from facespeak_jax.evaluation.metrics import lips

PHONEMES = ["<bos>", "M", "AA1", "P", "AH0", "B", "<eos>"]
DURATIONS = np.array([8, 8, 16, 4, 16, 8, 4])  # M in frames 2-3, P in 8, B in 13-14


def test_correlation_equals_scipy():
    one, other = np.random.default_rng(0).normal(size=(2, 50))
    assert lips.correlation(one, other) == pytest.approx(pearsonr(one, other).statistic)
    assert lips.correlation(one, 3 * one + 2) == pytest.approx(1.0)
    assert np.isnan(lips.correlation(one, np.ones(50)))


def test_closures_by_hand():
    opening = np.full(16, 1.0)
    opening[4] = 0.19  # the frame after M
    opening[8] = 0.21  # P: not quite
    closed = lips.closures(opening, PHONEMES, DURATIONS, closed=0.04, usual=1.04)
    assert closed.tolist() == [True, False, False]
    assert lips.closures(opening, PHONEMES[:1], DURATIONS[:1], 0.0, 1.0).tolist() == []
