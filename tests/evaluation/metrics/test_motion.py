import numpy as np
import pytest

from facespeak_jax.evaluation.metrics import motion


def test_deviation_and_diversity():
    pose = np.array([[-1.0, 0, 2], [1, 0, 2]])
    np.testing.assert_allclose(motion.deviation(pose), [1, 0, 0])
    assert motion.diversity([pose, pose]) == pytest.approx(1 / 3)
    # Two still heads that look different ways are diverse, though neither moves.
    assert motion.diversity([0 * pose, 0 * pose + 2]) == pytest.approx(1.0)


def test_seed_diversity():
    pose = np.random.default_rng(0).normal(size=(9, 3))
    assert motion.seed_diversity(np.stack([pose, pose])) == 0.0
    assert motion.seed_diversity(np.stack([pose - 1, pose + 1])) == pytest.approx(1.0)


def test_jitter_is_blind_to_smooth_motion():
    t = np.arange(20.0)[:, None]
    smooth = np.stack([t**2 + 3 * t, 5 - t], axis=-1)
    assert motion.jitter(smooth, 1.0) == pytest.approx(0, abs=1e-9)
    # The third difference of t³ is 6.
    assert motion.jitter(np.stack([t**3, 0 * t], axis=-1), 2.0) == pytest.approx(3000)
    # Of a zigzag of ±1 it is 8.
    zigzag = np.stack([(-1.0) ** t, 0 * t], axis=-1)
    assert motion.jitter(zigzag, 1.0) == pytest.approx(8000)
    assert np.isnan(motion.jitter(smooth[:3], 1.0))


def test_nods_are_how_far_down_stressed_vowels_are():
    phonemes, durations = ["HH", "AH0", "L", "OW1", "."], np.array([40, 8, 8, 8, 60])
    at = (40 + 8 + 8 + 4) // 4  # the frame of the middle of OW1
    pitch = np.zeros(31)
    pitch[at], pitch[at - motion.NOD], pitch[at + motion.NOD] = -3.0, 0.5, 1.5
    np.testing.assert_allclose(motion.nods(pitch, phonemes, durations), [4.0])
    # A head that only turns upwards all the time does not nod.
    np.testing.assert_allclose(motion.nods(np.arange(31.0), phonemes, durations), [0], atol=1e-9)
    # What is too near an end, or is not stressed, is left out.
    assert len(motion.nods(pitch[: at + motion.NOD], phonemes, durations)) == 0
    assert len(motion.nods(pitch, phonemes[:3], durations[:3])) == 0
    assert len(motion.nods(pitch, [], np.zeros(0, int))) == 0
