"""Blinks: how often eyes close, from how open they are."""

import numpy as np
from jaxtyping import Float

from facespeak_jax.rates import FPS

CLOSED, OPEN = 0.55, 0.75  # of the clip's usual opening; two levels, lest noise count twice
LONGEST = 15  # frames: longer is sleep, not a blink


def rate(opening: Float[np.ndarray, " t"]) -> float:
    """Blinks a minute, from the eyes' opening (height over width) in each frame."""
    return 60.0 * FPS * count(opening) / len(opening)


def count(opening: Float[np.ndarray, " t"]) -> int:
    """Times the eyes go below CLOSED of their median opening and come back above OPEN of it."""
    relative = opening / max(float(np.median(opening)), 1e-9)
    blinks, since = 0, None
    for frame, value in enumerate(relative.tolist()):
        if since is None and value < CLOSED:
            since = frame
        elif since is not None and value > OPEN:
            blinks += frame - since <= LONGEST
            since = None
    return blinks
