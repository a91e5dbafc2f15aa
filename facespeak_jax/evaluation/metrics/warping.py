"""Dynamic time warping: the cheapest way to walk through two sequences together."""

import numpy as np
from jaxtyping import Float, Int


def path(cost: Float[np.ndarray, "a b"]) -> Int[np.ndarray, "steps 2"]:
    """The pairs (i, j) from (0, 0) to the far corner with the least summed cost.

    Steps are (1, 0), (0, 1) and (1, 1) (Sakoe & Chiba 1978, without slope weights).
    """
    total = accumulate(cost)
    i, j = cost.shape[0] - 1, cost.shape[1] - 1
    steps = [(i, j)]
    while i or j:
        options = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        i, j = min(
            (pair for pair in options if min(pair) >= 0), key=lambda pair: float(total[pair])
        )
        steps.append((i, j))
    return np.array(steps[::-1])


def accumulate(cost: Float[np.ndarray, "a b"]) -> Float[np.ndarray, "a b"]:
    """The least summed cost of reaching each pair, one anti-diagonal after the other."""
    rows, columns = cost.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    total[0, 0] = 0.0
    for diagonal in range(rows + columns - 1):
        i = np.arange(max(0, diagonal - columns + 1), min(rows, diagonal + 1))
        j = diagonal - i
        before = np.minimum(np.minimum(total[i, j], total[i, j + 1]), total[i + 1, j])
        total[i + 1, j + 1] = cost[i, j] + before
    return total[1:, 1:]
