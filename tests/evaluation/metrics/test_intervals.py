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


def test_what_differs_alike_in_every_clip_differs_without_doubt():
    rng = np.random.default_rng(2)
    hard = rng.gamma(2.0, size=50)
    one, other = (intervals.ratio(values, np.ones(50)) for values in (hard + 0.1, hard))
    apart = intervals.difference(one, other)
    assert (apart.mean, apart.low, apart.high) == pytest.approx((0.1, 0.1, 0.1))
    assert one.interval().low < other.interval().high  # which the two intervals do not show
    with pytest.raises(ValueError, match="50 and 49"):
        intervals.difference(one, intervals.ratio(hard[1:], np.ones(49)))


def test_the_interval_of_a_difference_is_that_of_the_differences():
    rng = np.random.default_rng(3)
    one, other = rng.gamma(2.0, size=(2, 60))
    apart = intervals.difference(*(intervals.ratio(x, np.ones(60)) for x in (one, other)))
    assert apart == pytest.approx(intervals.of_mean(one - other))


def test_resamples_without_anything_to_be_a_share_of_do_not_count():
    found = intervals.ratio(np.array([1.0, 0.0]), np.array([2.0, 0.0]))
    assert np.isnan(found.resamples).any()
    assert found.interval() == (0.5, 0.5, 0.5, 2)


def test_nothing_is_refused():
    with pytest.raises(ValueError, match="one clip"):
        intervals.of_mean(np.zeros(0))
