"""How a head moves: how much, how differently from seed to seed, how shakily, and on what words."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int

from facespeak_jax.rates import MELS_PER_FRAME

NOD = 8  # frames from the bottom of a nod to where the head is up, before it and after it


def deviation(pose: Float[np.ndarray, "t 3"]) -> Float[np.ndarray, "3"]:
    """Standard deviation of yaw, pitch and roll over a clip, in degrees."""
    return pose.std(axis=0)


def diversity(poses: list[Float[np.ndarray, "_ 3"]]) -> float:
    """DIV: the standard deviation of head pose over all frames of all clips, mean of the angles."""
    return float(np.concatenate(poses).std(axis=0).mean())


def seed_diversity(poses: Float[np.ndarray, "seeds t 3"]) -> float:
    """How far the same text moves the same head apart under other seeds, in degrees.

    The standard deviation over seeds, mean over frames and angles; 0 where motion ignores the seed.
    """
    return float(poses.std(axis=0).mean())


def jitter(points: Float[np.ndarray, "t k 2"], scale: float) -> float:
    """Mean length of the third difference of landmarks, in thousandths of `scale` a frame³.

    Smooth motion has nearly none; trembling has much. `scale` is, for instance, the distance of the
    eyes in the landmarks' units. NaN below four frames.
    """
    if len(points) < 4:
        return np.nan
    third = np.diff(points, n=3, axis=0)
    return float(1000.0 * np.linalg.norm(third, axis=-1).mean() / scale)


def nods(
    pitch: Float[np.ndarray, " t"], phonemes: Sequence[str], durations: Int[np.ndarray, " l"]
) -> Float[np.ndarray, " v"]:
    """How far the head is down on each stressed vowel, from where it is NOD frames around it.

    The mean over many is 0 for a head that does not follow the words.

    Args:
      pitch: degrees upwards, of each frame; NaN where it is not known.
      phonemes, durations: project symbols and their mel frames.

    Returns:
      Degrees, of the vowels that are NOD frames or more from either end of the clip.
    """
    middles = (np.cumsum(durations) - durations / 2) // MELS_PER_FRAME
    stressed = [phone.endswith("1") for phone in phonemes]
    at = middles.astype(int)[np.array(stressed, bool)]
    at = at[(at >= NOD) & (at < len(pitch) - NOD)]
    return (pitch[at - NOD] + pitch[at + NOD]) / 2 - pitch[at]
