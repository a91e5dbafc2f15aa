"""How well predicted durations of phonemes agree with those of the speech itself."""

import numpy as np
from jaxtyping import Int

from facespeak_jax.rates import HOP, SAMPLE_RATE


def duration_error(predicted: Int[np.ndarray, " l"], reference: Int[np.ndarray, " k"]) -> float:
    """Mean absolute error of phoneme durations in milliseconds; durations are in mel frames.

    Both must belong to the same phonemes. Raises ValueError for different numbers of phonemes.
    """
    if predicted.shape != reference.shape:
        raise ValueError(f"{len(predicted)} predicted durations for {len(reference)} phonemes")
    return float(np.abs(predicted - reference).mean() * 1000 * HOP / SAMPLE_RATE)
