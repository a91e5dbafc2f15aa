"""Do mouth and sound belong together: confidence, distance and offset (Chung & Zisserman 2016)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

REACH = 15  # video frames to either side
SHIFT = 5  # frames that a judge must notice


class Sync(NamedTuple):
    """LSE-C (higher is better), LSE-D (lower), and how many frames the sound comes late."""

    confidence: float
    distance: float
    offset: int

    @property
    def in_sync(self) -> bool:
        """Within a frame, which nobody sees."""
        return abs(self.offset) <= 1


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


def rejections(video: Float[np.ndarray, "t d"], sound: Float[np.ndarray, "t d"]) -> int:
    """How many of two clips are found out of sync: this one with its sound SHIFT frames early, and
    SHIFT frames late. Raises ValueError for a clip no longer than SHIFT, or of two lengths."""
    if len(video) <= SHIFT:
        raise ValueError(f"{len(video)} moments cannot be shifted by {SHIFT}")
    early, late = judge(video[:-SHIFT], sound[SHIFT:]), judge(video[SHIFT:], sound[:-SHIFT])
    return int(not early.in_sync) + int(not late.in_sync)


def _apart(video: np.ndarray, sound: np.ndarray, offset: int) -> float:
    """Mean distance of the mouth at t and the sound at t + offset."""
    count = len(video) - abs(offset)
    seen = video[max(-offset, 0) :][:count]
    heard = sound[max(offset, 0) :][:count]
    return float(np.linalg.norm(seen - heard, axis=-1).mean())
