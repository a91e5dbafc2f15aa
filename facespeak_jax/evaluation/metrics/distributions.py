"""Distances between two sets of pictures, each given as features of a network (n, d).

Pictures of a clip are alike, so resamples are of clips: what numbers each picture's clip from 0
gives the same number to the same clip in both sets.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from facespeak_jax.evaluation.metrics.intervals import Resampled

RESAMPLES = 1000


class Pictures(NamedTuple):
    """A set of pictures, and the clip that each is from."""

    features: Float[np.ndarray, "n d"]
    clip: Int[np.ndarray, " n"]


def frechet(found: Pictures, real: Pictures, seed: int = 0) -> Resampled:
    """FID: the Fréchet distance of two Gaussians with the sets' moments (Heusel et al. 2017).

    Resamples are of its straight-line approximation in the weights of clips: FID itself grows as
    pictures repeat, so that of resampled clips does not enclose it, and its derivatives by the
    weights (the infinitesimal jackknife, Efron 1982) have no such bias.
    """
    clips = 1 + int(max(found.clip.max(), real.clip.max()))
    value, influence = _expanded(found, real, clips)
    return Resampled(value, value + (_drawn(clips, seed) - 1.0) @ influence, clips)


def _expanded(
    found: Pictures, real: Pictures, clips: int
) -> tuple[float, Float[np.ndarray, " {clips}"]]:
    """FID, and how fast it grows with each clip's weight, in both sets, from weights of 1.

    The trace of (S₁S₂)^½ is the sum of the singular values of A·Bᵀ for centred rows A, B with
    S₁ = AᵀA and S₂ = BᵀB: no square root of a singular matrix is taken. With A = Q₁R₁, B = Q₂R₂ and
    R₁R₂ᵀ = UΣVᵀ it is the trace of Σ, and grows with row i of A by that row of Q₁UVᵀR₂.
    """
    sides = found.features, real.features
    shift = sides[0].mean(axis=0) - sides[1].mean(axis=0)
    rows = [(x - x.mean(axis=0)) / np.sqrt(len(x) - 1) for x in sides]
    (q1, r1), (q2, r2) = (np.linalg.qr(row) for row in rows)
    u, values, v = np.linalg.svd(r1 @ r2.T, full_matrices=False)
    traces = [np.square(row).sum() for row in rows]
    distance = np.square(shift).sum() + sum(traces) - 2 * values.sum()
    grown = q1 @ (u @ v) @ r2, q2 @ (u @ v).T @ r1
    influence = np.zeros(clips)
    for side, row, change, trace, sign in zip(
        (found, real), rows, grown, traces, (1.0, -1.0), strict=True
    ):
        n = len(row)
        own = np.square(row).sum(axis=1) - np.sum(change * row, axis=1)
        mean = 2.0 * sign * np.sqrt(n - 1) / n * (row @ shift)
        rest = (trace - values.sum()) / n  # a share of all that a clip displaces
        influence += np.bincount(side.clip, own + mean - rest, clips)
    return float(distance), influence


def kernel(found: Pictures, real: Pictures, seed: int = 0) -> Resampled:
    """KID (Bińkowski et al. 2018): squared MMD of the kernel (x·y/d + 1)³, unbiased.

    Raises ValueError for fewer than two pictures a set.
    """
    if min(len(found.clip), len(real.clip)) < 2:
        raise ValueError("KID needs at least two pictures in each set")
    clips = 1 + int(max(found.clip.max(), real.clip.max()))
    sums, cross, rest = (
        _blocks(one, other, clips) for one, other in ((found, found), (found, real), (real, real))
    )
    counts = [np.bincount(side.clip, minlength=clips) for side in (found, real)]
    itself = [np.bincount(side.clip, _own(side.features), clips) for side in (found, real)]

    def squared(weight: np.ndarray) -> float:
        # A clip drawn k times stands for k copies; a picture is never compared with its copy.
        n, m = weight @ counts[0], weight @ counts[1]
        pairs = _pairs(weight, counts[0]), _pairs(weight, counts[1])
        if min(pairs) <= 0:
            return np.nan
        one = (weight @ sums @ weight - np.square(weight) @ itself[0]) / pairs[0]
        other = (weight @ rest @ weight - np.square(weight) @ itself[1]) / pairs[1]
        return float(one + other - 2 * (weight @ cross @ weight) / (n * m))

    values = np.array([squared(weight) for weight in _drawn(clips, seed)])
    return Resampled(squared(np.ones(clips)), values, clips)


def _drawn(clips: int, seed: int) -> Float[np.ndarray, "r c"]:
    """How often each clip is in each resample."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(clips, np.full(clips, 1 / clips), size=RESAMPLES).astype(float)


def _polynomial(one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m d"]) -> np.ndarray:
    return (one @ other.T / one.shape[1] + 1.0) ** 3


def _own(features: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """The kernel of each picture with itself."""
    return (np.square(features).mean(axis=1) + 1.0) ** 3


def _blocks(one: Pictures, other: Pictures, clips: int) -> np.ndarray:
    """Sums of the kernel over the pictures of each pair of clips (clips, clips)."""
    total = np.zeros((clips, clips))
    values = _polynomial(one.features, other.features)
    np.add.at(total, (one.clip[:, None], other.clip[None, :]), values)
    return total


def _pairs(weight: np.ndarray, counts: np.ndarray) -> float:
    """Ordered pairs of different pictures, those of a clip and its own copies left out."""
    return float((weight @ counts) ** 2 - np.square(weight) @ counts)
