import numpy as np
import pytest

from facespeak_jax.evaluation.metrics import warping


def brute(cost, i=0, j=0):
    """The least cost from (i, j) to the far corner, by trying everything."""
    rows, columns = cost.shape
    if i == rows - 1 and j == columns - 1:
        return cost[i, j]
    steps = [(i + 1, j + 1), (i + 1, j), (i, j + 1)]
    return cost[i, j] + min(brute(cost, a, b) for a, b in steps if a < rows and b < columns)


@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (5, 5), (4, 6)])
def test_least_of_all_paths(shape):
    cost = np.random.default_rng(0).uniform(size=shape)
    steps = warping.path(cost)
    assert cost[steps[:, 0], steps[:, 1]].sum() == pytest.approx(brute(cost))
    assert warping.accumulate(cost)[-1, -1] == pytest.approx(brute(cost))
    assert steps[0].tolist() == [0, 0]
    assert steps[-1].tolist() == [shape[0] - 1, shape[1] - 1]
    assert {tuple(step) for step in np.diff(steps, axis=0)} <= {(0, 1), (1, 0), (1, 1)}
