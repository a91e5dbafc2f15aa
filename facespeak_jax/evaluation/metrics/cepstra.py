"""Mel cepstral distortion: how far the colour of one voice is from another's, in decibels."""

import numpy as np
from jaxtyping import Float

from facespeak_jax.evaluation.metrics import warping

ORDER = 13


def cepstrum(log_mel: Float[np.ndarray, "m k"], order: int = ORDER) -> Float[np.ndarray, "m c"]:
    """The orthonormal DCT-II of log-mel frames, coefficients 1 … order (0 is loudness)."""
    bins = log_mel.shape[1]
    phase = np.pi * (np.arange(bins) + 0.5)[:, None] * np.arange(1, order + 1)[None, :] / bins
    return log_mel @ (np.sqrt(2.0 / bins) * np.cos(phase))


def distortion(found: Float[np.ndarray, "a k"], reference: Float[np.ndarray, "b k"]) -> float:
    """MCD in dB between two log-mel spectrograms, aligned by dynamic time warping.

    10/ln 10 · √2 · the mean distance of cepstra along the path (Kubichek 1993). Of this project's
    80 Slaney bins, not of a vocoder's cepstra: comparable among its own rows only.
    """
    one, other = cepstrum(found), cepstrum(reference)
    squares = np.square(one).sum(1)[:, None] + np.square(other).sum(1)[None, :]
    cost = np.sqrt(np.maximum(squares - 2.0 * one @ other.T, 0.0))
    steps = warping.path(cost)
    return float(10.0 / np.log(10.0) * np.sqrt(2.0) * cost[steps[:, 0], steps[:, 1]].mean())
