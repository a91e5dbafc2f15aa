import numpy as np
import pytest
from scipy import stats

from facespeak_jax.evaluation.metrics import intervals


def test_equals_scipy():
    values = np.random.default_rng(1).gamma(2.0, size=60)
    ours = intervals.of_mean(values)
    theirs = stats.bootstrap((values,), np.mean, method="percentile", rng=2).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert ours.n == 60
    assert ours.low == pytest.approx(theirs.low, abs=0.03)
    assert ours.high == pytest.approx(theirs.high, abs=0.03)


def test_a_ratio_pools_and_constants_have_no_width():
    ratio = intervals.of_ratio(np.array([1.0, 2.0]), np.array([10.0, 5.0]))
    assert ratio.mean == pytest.approx(0.2)
    assert (ratio.low, ratio.high) == pytest.approx((0.1, 0.4))
    assert intervals.of_mean(np.full(5, 3.0)) == (3.0, 3.0, 3.0, 5)


def test_nothing_is_refused():
    with pytest.raises(ValueError, match="one clip"):
        intervals.of_mean(np.zeros(0))
