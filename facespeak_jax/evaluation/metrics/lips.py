"""Do lips do what the sounds ask: open together with them, and meet for p, b and m."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

from facespeak_jax.rates import MELS_PER_FRAME

BILABIAL = ("P", "B", "M")
TOLERANCE = 0.15
_MARGIN = 1  # frames by which lips may come early or late


def correlation(found: Float[np.ndarray, " t"], asked: Float[np.ndarray, " t"]) -> float:
    """Pearson's correlation of two openings; NaN where one of them never changes."""
    a, b = found - found.mean(), asked - asked.mean()
    norm = np.sqrt(np.square(a).sum() * np.square(b).sum())
    return float(a @ b / norm) if norm > 1e-12 else np.nan


def closures(
    opening: Float[np.ndarray, " t"],
    phonemes: Sequence[str],
    durations: Int[np.ndarray, " l"],
    closed: float,
    usual: float,
) -> Bool[np.ndarray, " p"]:
    """For each p, b and m: did the lips get within TOLERANCE of the way from closed to usual?

    Args:
      opening: inner lip gap of each frame.
      phonemes, durations: project symbols and their mel frames.
      closed: the gap that is measured of this mouth when its lips meet, in the same unit.
      usual: its usual gap.
    """
    limit = closed + TOLERANCE * (usual - closed)
    ends = np.cumsum(durations)
    found = []
    for phone, end, length in zip(phonemes, ends.tolist(), durations.tolist(), strict=True):
        if phone in BILABIAL:
            first = max((end - length) // MELS_PER_FRAME - _MARGIN, 0)
            last = -(-end // MELS_PER_FRAME) + _MARGIN
            found.append(opening[first:last].min(initial=np.inf) <= limit)
    return np.array(found, bool)
