"""A figure over clips, with the interval in which it would fall for other clips of the kind."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

RESAMPLES, SET_RESAMPLES = 2000, 200


class Interval(NamedTuple):
    """A figure of n clips and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int


class Resampled(NamedTuple):
    """A figure of n clips and the same figure of resamples of them (Efron 1979).

    Of one number of clips and one seed the resamples are always the same, so that figures of two
    systems over the same clips can be compared resample by resample.
    """

    value: float
    resamples: Float[np.ndarray, " r"]  # NaN where the figure of a resample means nothing
    n: int

    def interval(self) -> Interval:
        """The percentiles of the resamples."""
        low, high = np.nanpercentile(self.resamples, [2.5, 97.5])
        return Interval(self.value, float(low), float(high), self.n)


def difference(one: Resampled, other: Resampled) -> Interval:
    """Of two figures of the same clips, which hard clips move together: narrower than the intervals
    of the two would have it. Raises ValueError if the clips cannot be the same."""
    if one.n != other.n:
        raise ValueError(f"figures of {one.n} and {other.n} clips cannot be paired")
    apart = Resampled(one.value - other.value, one.resamples - other.resamples, one.n)
    return apart.interval()


def of_mean(values: Float[np.ndarray, " n"], seed: int = 0) -> Interval:
    """The percentile bootstrap of the mean. Raises ValueError without a value."""
    return of_ratio(values, np.ones(len(values)), seed)


def of_ratio(
    above: Float[np.ndarray, " n"], below: Float[np.ndarray, " n"], seed: int = 0
) -> Interval:
    """Of `ratio`."""
    return ratio(above, below, seed).interval()


def ratio(
    above: Float[np.ndarray, " n"], below: Float[np.ndarray, " n"], seed: int = 0
) -> Resampled:
    """sum(above) / sum(below), as error rates are pooled over clips.

    Raises ValueError without a clip, or where `below` sums to zero.
    """
    if not len(above) or not np.sum(below):
        raise ValueError("an interval needs at least one clip of some length")
    drawn = np.random.default_rng(seed).integers(len(above), size=(RESAMPLES, len(above)))
    sums = below[drawn].sum(axis=1)
    ratios = above[drawn].sum(axis=1) / np.where(sums > 0, sums, np.nan)
    return Resampled(float(np.sum(above) / np.sum(below)), ratios, len(above))


def of_sets(
    groups: Sequence[np.ndarray], figure: Callable[[Sequence[np.ndarray]], float], seed: int = 0
) -> Interval:
    """Of `sets`."""
    return sets(groups, figure, seed).interval()


def sets(
    groups: Sequence[np.ndarray], figure: Callable[[Sequence[np.ndarray]], float], seed: int = 0
) -> Resampled:
    """A figure of all clips together, such as a pooled deviation; few resamples, as it is slow.

    Raises ValueError without a clip.
    """
    if not groups:
        raise ValueError("an interval needs at least one clip")
    drawn = np.random.default_rng(seed).integers(len(groups), size=(SET_RESAMPLES, len(groups)))
    values = np.array([figure([groups[i] for i in row]) for row in drawn])
    return Resampled(figure(groups), values, len(groups))
