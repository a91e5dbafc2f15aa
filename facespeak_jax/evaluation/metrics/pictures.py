"""How alike two pictures are, pixel by pixel and structure by structure."""

import numpy as np
from jaxtyping import Float, UInt8

SIGMA, RADIUS = 1.5, 5  # of the window in Wang et al. 2004


def l1(one: UInt8[np.ndarray, "*t h w c"], other: UInt8[np.ndarray, "*t h w c"]) -> float:
    """Mean absolute difference, in levels of 0 … 255."""
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean())


def ssim(one: UInt8[np.ndarray, "h w c"], other: UInt8[np.ndarray, "h w c"]) -> float:
    """Structural similarity with a Gaussian window (Wang et al. 2004), mean over the channels.

    Windows that reach beyond the picture are left out; both sides must be at least 11 px.
    """
    x, y = one.astype(np.float64), other.astype(np.float64)
    mean_x, mean_y = _blurred(x), _blurred(y)
    var_x = _blurred(x * x) - mean_x**2
    var_y = _blurred(y * y) - mean_y**2
    both = _blurred(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    score = ((2 * mean_x * mean_y + c1) * (2 * both + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return float(score.mean())


def _blurred(image: Float[np.ndarray, "h w c"]) -> Float[np.ndarray, "i j c"]:
    weights = np.exp(-0.5 * np.square(np.arange(-RADIUS, RADIUS + 1) / SIGMA))
    weights /= weights.sum()
    for axis in (0, 1):
        windows = np.lib.stride_tricks.sliding_window_view(image, len(weights), axis)
        image = windows @ weights
    return image


def sharpness(image: UInt8[np.ndarray, "h w 3"], box: Float[np.ndarray, "4"]) -> float:
    """Mean square of the Laplacian of the grey picture inside a box (x0, y0, x1, y1 in [0, 1]).

    NaN for a box that holds no pixel.
    """
    grey = image.astype(np.float64) @ np.array([0.299, 0.587, 0.114])
    padded = np.pad(grey, 1, mode="edge")
    laplacian = (
        padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * grey
    )
    height, width = grey.shape
    x0, y0, x1, y1 = np.rint(box * np.array([width, height, width, height])).astype(int)
    inside = laplacian[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    return float(np.square(inside).mean()) if inside.size else np.nan
