"""The figures of a row over its clips, and how two rows differ over the clips of both."""

import functools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from facespeak_jax.evaluation.judges import landmarks as face_points
from facespeak_jax.evaluation.metrics import distributions, intervals, motion
from facespeak_jax.evaluation.metrics.distributions import Pictures
from facespeak_jax.evaluation.metrics.intervals import Interval, Resampled
from facespeak_jax.evaluation.report.columns import COLUMNS
from facespeak_jax.evaluation.report.measure import Figure

Cells = dict[str, Interval]  # by column
# By row: the row that it is compared with, and what it has more than that one.
Differences = dict[str, tuple[str, Cells]]
Observed = Mapping[str, Mapping[str, np.ndarray]]  # by clip


@dataclass(frozen=True)
class Row:
    """`figures` of each clip by column, `seen` what judges saw in each, `truth` that in the ground
    truth's; for the ground truth's own row the two are one object."""

    figures: Mapping[str, Mapping[str, Figure]]
    seen: Observed
    truth: Observed

    def cells(self) -> Cells:
        """Means, sums over sums for rates, and figures of all clips together."""
        means = {name: found for name in COLUMNS if (found := self._averaged(name, self.figures))}
        return {name: found.interval() for name, found in (means | self._of_all).items()}

    def differences(self, other: "Row") -> Cells:
        """This row's cells less the other's, over the clips of both."""
        cells: Cells = {}
        for column in COLUMNS:
            shared = [
                clip
                for clip, figures in self.figures.items()
                if column in figures and column in other.figures.get(clip, {})
            ]
            pair = [row._averaged(column, shared) for row in (self, other)]
            if pair[0] and pair[1]:
                cells[column] = intervals.difference(pair[0], pair[1])
        one, two = self, other
        if self.seen.keys() != other.seen.keys():
            both = self.seen.keys() & other.seen.keys()
            one, two = self._only(both), other._only(both)
        for column, found in one._of_all.items():
            beside = two._of_all.get(column)
            if beside and beside.n == found.n:  # faces may be lost in one row and not in the other
                cells[column] = intervals.difference(found, beside)
        return cells

    def _only(self, clips: Collection[str]) -> "Row":
        seen = {clip: found for clip, found in self.seen.items() if clip in clips}
        return Row(self.figures, seen, self.truth)

    def _averaged(self, column: str, clips: Collection[str]) -> Resampled | None:
        """None where no clip has the figure, or all of a rate's have nothing to be a share of."""
        found = [self.figures[clip][column] for clip in clips if column in self.figures[clip]]
        if not found:
            return None
        if not isinstance(found[0], tuple):
            return intervals.ratio(np.array(found, float), np.ones(len(found)))
        above, below = np.array(found, float).T
        return intervals.ratio(above, below) if below.sum() else None

    @functools.cached_property
    def _of_all(self) -> dict[str, Resampled]:
        """What belongs to all clips together: FID, KID and DIV."""
        found: dict[str, Resampled] = {}
        poses = [
            face_points.head_pose(observed["landmarks"])
            for observed in self.seen.values()
            if "landmarks" in observed
        ]
        known = [pose[np.isfinite(pose).all(axis=1)] for pose in poses]
        known = [pose for pose in known if len(pose)]
        if known:
            found["div"] = intervals.sets(known, lambda drawn: motion.diversity(list(drawn)))
        shared = [
            clip
            for clip, observed in self.seen.items()
            if "features" in observed and "features" in self.truth.get(clip, {})
        ]
        if self.seen is not self.truth and len(shared) > 1:
            made, real = (_pictures(side, shared) for side in (self.seen, self.truth))
            found["kid"] = distributions.kernel(made, real)
            found["fid"] = distributions.frechet(made, real)
        return found


def _pictures(seen: Observed, clips: Sequence[str]) -> Pictures:
    features = [seen[clip]["features"] for clip in clips]
    numbers = np.repeat(np.arange(len(clips)), [len(part) for part in features])
    return Pictures(np.concatenate(features), numbers)
