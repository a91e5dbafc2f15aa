"""The melody of speech: fundamental frequency, and how far two melodies are apart."""

import numpy as np
from jaxtyping import Float

from facespeak_jax.evaluation.metrics import warping
from facespeak_jax.rates import HOP, SAMPLE_RATE

LOWEST, HIGHEST = 60.0, 500.0  # hertz


def melody(wave: Float[np.ndarray, " n"]) -> Float[np.ndarray, " m"]:
    """Fundamental frequency in hertz of each mel frame; NaN where there is no voice (pYIN)."""
    import librosa  # seconds to import, and part of an extra

    frequency, _, _ = librosa.pyin(
        wave.astype(np.float64),
        fmin=LOWEST,
        fmax=HIGHEST,
        sr=SAMPLE_RATE,
        frame_length=1024,
        hop_length=HOP,
        resolution=0.2,
    )
    return frequency[: len(wave) // HOP]


def error(
    found: Float[np.ndarray, " a"],
    reference: Float[np.ndarray, " b"],
    alignment: Float[np.ndarray, "a b"] | None = None,
) -> float:
    """Root mean square error in hertz over the frames where both melodies have a voice.

    Without an `alignment` (costs for dynamic time warping) the frames correspond one to one. NaN
    where the two are never voiced together.
    """
    if alignment is None:
        count = min(len(found), len(reference))
        one, other = found[:count], reference[:count]
    else:
        steps = warping.path(alignment)
        one, other = found[steps[:, 0]], reference[steps[:, 1]]
    both = np.isfinite(one) & np.isfinite(other)
    return float(np.sqrt(np.square(one[both] - other[both]).mean())) if both.any() else np.nan
