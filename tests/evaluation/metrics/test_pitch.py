import numpy as np
import pytest

from facespeak_jax.evaluation.metrics import pitch


def test_error_by_hand():
    one = np.array([100.0, np.nan, 120.0, 130.0])
    other = np.array([103.0, 100.0, 124.0, np.nan, 99.0])
    assert pitch.error(one, other) == pytest.approx(np.sqrt((9 + 16) / 2))
    assert np.isnan(pitch.error(np.full(3, np.nan), other[:3]))


def test_alignment_undoes_pace():
    melody = np.array([100.0, 110.0, 150.0])
    slow = np.repeat(melody, 2)
    assert pitch.error(slow, melody, np.abs(slow[:, None] - melody[None, :])) == 0.0


def test_melody_of_a_tone():
    pytest.importorskip("librosa")
    time = np.arange(9600) / 16_000
    wave = sum(np.sin(2 * np.pi * 150 * k * time) / k for k in (1, 2, 3))
    wave[6400:] = 0
    found = pitch.melody(0.1 * wave)
    assert found.shape == (60,)
    np.testing.assert_allclose(found[5:35], 150, rtol=0.01)
    assert np.isnan(found[50:]).all()
