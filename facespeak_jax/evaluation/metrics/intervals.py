"""The mean over clips with the interval in which it would fall for other clips of the kind."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

RESAMPLES, SET_RESAMPLES = 2000, 200


class Interval(NamedTuple):
    """A mean over n clips and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float
    n: int


def of_mean(values: Float[np.ndarray, " n"], seed: int = 0) -> Interval:
    """The percentile bootstrap of the mean (Efron 1979). Raises ValueError without a value."""
    return of_ratio(values, np.ones(len(values)), seed)


def of_ratio(
    above: Float[np.ndarray, " n"], below: Float[np.ndarray, " n"], seed: int = 0
) -> Interval:
    """Of sum(above) / sum(below), as error rates are pooled over clips.

    Raises ValueError without a clip, or where `below` sums to zero.
    """
    if not len(above) or not np.sum(below):
        raise ValueError("an interval needs at least one clip of some length")
    drawn = np.random.default_rng(seed).integers(len(above), size=(RESAMPLES, len(above)))
    below_drawn = below[drawn].sum(axis=1)
    kept = below_drawn > 0
    ratios = above[drawn].sum(axis=1)[kept] / below_drawn[kept]
    low, high = np.percentile(ratios, [2.5, 97.5])
    return Interval(float(np.sum(above) / np.sum(below)), float(low), float(high), len(above))


def of_sets(
    groups: Sequence[np.ndarray], figure: Callable[[Sequence[np.ndarray]], float], seed: int = 0
) -> Interval:
    """Of a figure of all clips together, such as a pooled deviation; few resamples, as it is slow.

    Raises ValueError without a clip.
    """
    if not groups:
        raise ValueError("an interval needs at least one clip")
    drawn = np.random.default_rng(seed).integers(len(groups), size=(SET_RESAMPLES, len(groups)))
    values = [figure([groups[i] for i in row]) for row in drawn]
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(figure(groups), float(low), float(high), len(groups))
