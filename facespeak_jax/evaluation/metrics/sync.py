"""Do mouth and sound belong together: confidence, distance and offset (Chung & Zisserman 2016)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

REACH = 15  # video frames to either side


class Sync(NamedTuple):
    """LSE-C (higher is better), LSE-D (lower), and how many frames the sound comes late."""

    confidence: float
    distance: float
    offset: int


def judge(
    video: Float[np.ndarray, "t d"], sound: Float[np.ndarray, "s d"], reach: int = REACH
) -> Sync:
    """Compares each moment's embedding of the mouth with those of the sound at ±`reach` frames.

    The distances of each offset are averaged over the clip; LSE-D is the least of these, LSE-C the
    median over offsets minus the least (Prajwal et al. 2020). Offsets that leave less than half of
    the clip are not tried. Raises ValueError for clips of different lengths.
    """
    if len(video) != len(sound):
        raise ValueError(f"{len(video)} moments of video and {len(sound)} of sound")
    reach = min(reach, len(video) // 2)
    means = np.array([_apart(video, sound, offset) for offset in range(-reach, reach + 1)])
    best = int(np.argmin(means))
    return Sync(float(np.median(means) - means[best]), float(means[best]), best - reach)


def _apart(video: np.ndarray, sound: np.ndarray, offset: int) -> float:
    """Mean distance of the mouth at t and the sound at t + offset."""
    count = len(video) - abs(offset)
    seen = video[max(-offset, 0) :][:count]
    heard = sound[max(offset, 0) :][:count]
    return float(np.linalg.norm(seen - heard, axis=-1).mean())
