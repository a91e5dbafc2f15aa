import numpy as np
import pytest

from facespeak_jax.evaluation.metrics import blinks


def eyes(*closed, frames=100):
    opening = np.full(frames, 0.3)
    for first, length in closed:
        opening[first : first + length] = 0.05
    return opening


def test_counts():
    assert blinks.count(eyes()) == 0
    assert blinks.count(eyes((10, 3), (50, 4))) == 2
    assert blinks.count(eyes((10, 30))) == 0  # asleep
    assert blinks.count(eyes((96, 4))) == 0  # never seen to open again


def test_trembling_lids_blink_once():
    opening = eyes((10, 6))
    opening[[11, 13]] = 0.18  # above CLOSED of 0.3, below OPEN
    assert blinks.count(opening) == 1


def test_rate_is_a_minute():
    assert blinks.rate(eyes((10, 3))) == pytest.approx(15.0)  # once in four seconds
