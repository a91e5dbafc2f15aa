"""Distances between two sets of pictures, each given as features of a network (n, d)."""

import numpy as np
from jaxtyping import Float

from facespeak_jax.evaluation.metrics.intervals import Interval

RESAMPLES = 1000


def frechet(found: Float[np.ndarray, "n d"], real: Float[np.ndarray, "m d"]) -> float:
    """FID: the Fréchet distance of two Gaussians with the sets' moments (Heusel et al. 2017).

    The trace of (S₁S₂)^½ is the sum of the singular values of A·Bᵀ for centred rows A, B with
    S₁ = AᵀA and S₂ = BᵀB: no square root of a singular matrix is taken. Triangles R of A = QR have
    the same values, and d rows where there are more pictures.
    """
    means = found.mean(axis=0), real.mean(axis=0)
    a, b = (
        np.asarray(np.linalg.qr((x - m) / np.sqrt(len(x) - 1), mode="r"))
        for x, m in zip((found, real), means, strict=True)
    )
    shared = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(
        np.square(means[0] - means[1]).sum() + np.square(a).sum() + np.square(b).sum() - 2 * shared
    )


def kernel(
    found: Float[np.ndarray, "n d"],
    real: Float[np.ndarray, "m d"],
    found_clip: np.ndarray,
    real_clip: np.ndarray,
    seed: int = 0,
) -> Interval:
    """KID (Bińkowski et al. 2018): squared MMD of the kernel (x·y/d + 1)³, unbiased, as a mean.

    Frames of a clip are alike, so the interval resamples clips: `found_clip` (n,) and `real_clip`
    (m,) number each row's clip from 0, the same number for the same clip. Raises ValueError for
    fewer than two rows a set.
    """
    if min(len(found), len(real)) < 2:
        raise ValueError("KID needs at least two pictures in each set")
    clips = int(max(found_clip.max(), real_clip.max())) + 1
    sums = _blocks(found, found, found_clip, found_clip, clips)
    cross = _blocks(found, real, found_clip, real_clip, clips)
    rest = _blocks(real, real, real_clip, real_clip, clips)
    self_found = np.bincount(found_clip, np.diag(_polynomial(found, found)), clips)
    self_real = np.bincount(real_clip, np.diag(_polynomial(real, real)), clips)
    counts = np.bincount(found_clip, minlength=clips), np.bincount(real_clip, minlength=clips)

    def squared(weight: np.ndarray) -> float:
        # A clip drawn k times stands for k copies; a picture is never compared with its copy.
        n, m = weight @ counts[0], weight @ counts[1]
        one = (weight @ sums @ weight - np.square(weight) @ self_found) / _pairs(weight, counts[0])
        other = (weight @ rest @ weight - np.square(weight) @ self_real) / _pairs(weight, counts[1])
        return float(one + other - 2 * (weight @ cross @ weight) / (n * m))

    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(clips, np.full(clips, 1 / clips), size=RESAMPLES).astype(float)
    enough = [w for w in drawn if min(_pairs(w, counts[0]), _pairs(w, counts[1])) > 0]
    values = [squared(weight) for weight in enough] or [np.nan]
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(squared(np.ones(clips)), float(low), float(high), clips)


def _polynomial(one: Float[np.ndarray, "n d"], other: Float[np.ndarray, "m d"]) -> np.ndarray:
    return (one @ other.T / one.shape[1] + 1.0) ** 3


def _blocks(
    one: np.ndarray, other: np.ndarray, clip: np.ndarray, other_clip: np.ndarray, clips: int
) -> np.ndarray:
    """Sums of the kernel over the pictures of each pair of clips (clips, clips)."""
    total = np.zeros((clips, clips))
    np.add.at(total, (clip[:, None], other_clip[None, :]), _polynomial(one, other))
    return total


def _pairs(weight: np.ndarray, counts: np.ndarray) -> float:
    """Ordered pairs of different pictures, those of a clip and its own copies left out."""
    return float((weight @ counts) ** 2 - np.square(weight) @ counts)
