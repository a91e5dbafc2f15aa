import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from facespeak_jax.speech import mel


def voice(samples=16000, seed=0):
    """Noise and a gliding tone, some of it silent."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / 16000
    wave = 0.3 * np.sin(2 * np.pi * (200 + 900 * t) * t) + 0.05 * rng.standard_normal(samples)
    wave[samples // 2 : samples // 2 + 2000] = 0.0
    return wave.astype(np.float32)


def test_equals_librosa():
    wave = voice()
    padded = np.pad(wave, (1024 - 160) // 2, mode="reflect")
    expected = librosa.feature.melspectrogram(
        y=padded,
        sr=16000,
        n_fft=1024,
        hop_length=160,
        win_length=640,
        center=False,
        power=1.0,
        n_mels=80,
        fmin=0,
        fmax=8000,
    )
    expected = np.log(np.maximum(expected, 1e-5)).T
    out = mel.log_mel(jnp.asarray(wave)[None])[0]
    assert out.shape == (100, 80)
    np.testing.assert_allclose(out, expected, atol=1e-4)


@pytest.mark.parametrize(("bins", "n_fft"), [(80, 1024), (40, 320), (128, 2048)])
def test_filterbank_equals_librosa(bins, n_fft):
    expected = librosa.filters.mel(sr=16000, n_fft=n_fft, n_mels=bins, fmin=0, fmax=8000)
    np.testing.assert_allclose(mel.filterbank(bins, n_fft), expected.T, atol=1e-7)


def test_a_padded_wave_has_the_frames_it_has_alone():
    short, long = voice(640 * 7), voice(640 * 12, seed=1)
    batch = np.stack([np.r_[short, np.full(640 * 5, 0.9, np.float32)], long])
    out = mel.log_mel(jnp.asarray(batch), jnp.array([640 * 7, 640 * 12]))
    np.testing.assert_allclose(out[0, :28], mel.log_mel(jnp.asarray(short)[None])[0], atol=1e-5)
    np.testing.assert_allclose(out[1], mel.log_mel(jnp.asarray(long)[None])[0], atol=1e-5)
    np.testing.assert_allclose(out[0, 28:], np.log(1e-5), atol=1e-6)


def test_reflection_is_numpys():
    wave = voice(400)
    out = mel.reflect(jnp.asarray(wave)[None], jnp.array([400]), 240)
    np.testing.assert_array_equal(out[0], np.pad(wave, 240, mode="reflect"))


def test_gradient_is_finite_in_silence():
    gradient = jax.grad(lambda wave: mel.log_mel(wave).sum())(jnp.zeros((1, 1600)))
    assert jnp.isfinite(gradient).all()


def test_frames_refuses_a_hop_that_does_not_fit():
    with pytest.raises(ValueError, match="hop"):
        mel.frames(jnp.zeros((1, 1000)), 640, 150)
