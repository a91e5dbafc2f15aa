import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from facespeak_jax.speech import mel, vocoder

KEY = jax.random.key(0)
VOCODERS = {
    "istft": vocoder.ISTFTVocoder(width=16, depth=2),
    "hifigan": vocoder.HiFiGAN(width=16, kernels=(3, 5), dilations=(2,)),
}


def noise(seed, *shape):
    return jax.random.normal(jax.random.fold_in(KEY, seed), shape)


def test_inverse_of_the_spectrum_is_the_wave():
    wave = noise(1, 2, 160 * 12)
    back = vocoder.inverse(mel.spectrum(wave), jnp.ones((2, 12), bool))
    np.testing.assert_allclose(back, wave, atol=1e-5)


def test_inverse_equals_scipy_inside():
    spectrum = noise(1, 1, 20, 321) + 1j * noise(2, 1, 20, 321)
    spectrum = spectrum.at[:, :, 0].set(spectrum[:, :, 0].real).at[:, :, -1].set(1.0)
    _, expected = scipy.signal.istft(
        np.asarray(spectrum[0]).T,
        window=scipy.signal.get_window("hann", 640),
        nperseg=640,
        noverlap=480,
        scaling="spectrum",
    )
    expected = expected / scipy.signal.get_window("hann", 640).sum()
    out = vocoder.inverse(spectrum, jnp.ones((1, 20), bool))[0, 80:-80]  # scipy trims 320
    np.testing.assert_allclose(out, expected, atol=1e-5)


def test_overlap_add_places_every_frame():
    frames = noise(1, 1, 5, 12)
    expected = np.zeros(4 * 3 + 12)
    for index in range(5):
        expected[3 * index : 3 * index + 12] += np.asarray(frames[0, index])
    np.testing.assert_allclose(vocoder.overlap_add(frames, 3)[0], expected, atol=1e-5)


@pytest.mark.parametrize("kind", VOCODERS)
def test_a_mel_frame_is_exactly_160_samples(kind):
    module, features = VOCODERS[kind], noise(1, 2, 9, 80)
    params = jax.jit(module.init)(KEY, features)
    wave = jax.jit(module.apply)(params, features)
    assert wave.shape == (2, 1440)
    assert jnp.isfinite(wave).all()


@pytest.mark.parametrize("kind", VOCODERS)
def test_padding_never_changes_a_wave(kind):
    module, features = VOCODERS[kind], noise(1, 2, 16, 80)
    params = jax.jit(module.init)(KEY, features)
    leaves, tree = jax.tree.flatten(params)
    params = tree.unflatten([x + 0.05 * noise(5 + i, *x.shape) for i, x in enumerate(leaves)])
    apply = jax.jit(module.apply)
    bucket = apply(params, features, jnp.array([16, 8]))
    alone = apply(params, features[1:, :8])
    np.testing.assert_allclose(bucket[1, : 8 * 160], alone[0], atol=1e-5)
    assert not np.asarray(bucket[1, 8 * 160 :]).any()
    np.testing.assert_allclose(bucket[0], apply(params, features[:1])[0], atol=1e-5)


def test_magnitudes_are_bounded():
    module, features = VOCODERS["istft"], 1e3 * noise(1, 1, 8, 80)
    params = jax.jit(module.init)(KEY, features)
    params = jax.tree.map(lambda x: 30.0 * x, params)
    assert float(jnp.abs(module.apply(params, features)).max()) < vocoder.LOUDEST * 4
