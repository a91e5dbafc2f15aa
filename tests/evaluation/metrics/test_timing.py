import numpy as np
import pytest

from facespeak_jax.evaluation.metrics import timing


def test_mean_absolute_milliseconds():
    assert timing.duration_error(np.array([5, 10]), np.array([7, 9])) == pytest.approx(15.0)
    with pytest.raises(ValueError, match="2 predicted"):
        timing.duration_error(np.array([5, 10]), np.array([7]))
