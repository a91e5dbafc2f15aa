import numpy as np
import pytest
from scipy.fft import dct

from facespeak_jax.evaluation.metrics import cepstra


def test_cepstrum_equals_scipy():
    mel = np.random.default_rng(0).normal(size=(7, 80))
    expected = dct(mel, norm="ortho", axis=1)[:, 1:14]
    np.testing.assert_allclose(cepstra.cepstrum(mel), expected, atol=1e-12)


def test_distortion_knows_neither_loudness_nor_pace():
    mel = np.random.default_rng(1).normal(size=(20, 80))
    assert cepstra.distortion(mel, mel) == pytest.approx(0.0, abs=1e-5)
    assert cepstra.distortion(mel + 3.0, mel) == pytest.approx(0.0, abs=1e-5)
    assert cepstra.distortion(np.repeat(mel, 2, axis=0), mel) == pytest.approx(0.0, abs=1e-5)


def test_hand_computed():
    # One cepstral coefficient of size 0.5 is 0.5 · 10 √2 / ln 10 dB.
    basis = dct(np.eye(80), norm="ortho", axis=1)[:, 3]
    mel = np.zeros((4, 80))
    expected = 0.5 * 10 * np.sqrt(2) / np.log(10)
    assert cepstra.distortion(mel + 0.5 * basis, mel) == pytest.approx(expected)
