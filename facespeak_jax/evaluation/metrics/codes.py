"""Motion codes over time: are invented ones as smooth and as varied as real ones?"""

import numpy as np
from jaxtyping import Float

_OUTER = (5, 95)  # percentiles that a range lies between


def step(code: Float[np.ndarray, "t d"]) -> float:
    """How far a code goes from frame to frame, as a share of how far it strays from its mean.

    Root mean squares; √2 for white noise, near 0 for slow motion. NaN where nothing moves.
    """
    deviation = np.sqrt(np.square(code - code.mean(axis=0)).mean())
    return (
        float(np.sqrt(np.square(np.diff(code, axis=0)).mean()) / deviation) if deviation else np.nan
    )


def covered_range(made: Float[np.ndarray, "n d"], real: Float[np.ndarray, "m d"]) -> float:
    """The width between the 5th and 95th percentile over that of real codes, mean over channels.

    Channels in which the real code never changes do not count; NaN if none does.
    """
    widths = [np.subtract(*np.percentile(codes, _OUTER[::-1], axis=0)) for codes in (made, real)]
    moving = widths[1] > 1e-9
    return float((widths[0][moving] / widths[1][moving]).mean()) if moving.any() else np.nan


def seed_spread(codes: Float[np.ndarray, "seeds t d"], real: Float[np.ndarray, "m d"]) -> float:
    """The deviation over seeds as a share of real codes' deviation: root mean squares.

    NaN where real codes never change.
    """
    deviation = np.sqrt(np.square(real - real.mean(axis=0)).mean())
    spread = np.sqrt(np.square(codes - codes.mean(axis=0)).mean())
    return float(spread / deviation) if deviation else np.nan
