import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax.speech.voice import VoiceCode, VoiceReader

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def reader():
    module, identity = VoiceReader(width=24), jax.random.normal(KEY, (3, 12))
    return module, module.init(KEY, identity), identity


@pytest.fixture(scope="module")
def code():
    module, coordinates = VoiceCode(size=8), jax.random.normal(KEY, (3, 16))
    return module, module.init(KEY, coordinates), coordinates


def test_the_reading_ignores_the_scale_of_the_face(reader):
    module, params, identity = reader
    read = module.apply(params, identity)
    assert read.shape == (3, 16)
    np.testing.assert_allclose(read, module.apply(params, 50.0 * identity), atol=1e-3)


def test_each_face_is_read_alone(reader):
    module, params, identity = reader
    together = module.apply(params, identity[None])
    np.testing.assert_allclose(together[0, 1], module.apply(params, identity[1]), atol=1e-6)


def test_no_face_is_read_as_a_voice_out_of_reach(reader):
    module, params, identity = reader
    loud = jax.tree.map(lambda x: 1e3 * x, params)
    read = module.apply(loud, identity)
    assert 2.9 < float(jnp.abs(read).max()) <= 3.0
    small = jax.tree.map(lambda x: x, params)
    small["params"]["coordinates"] = jax.tree.map(
        lambda x: 1e-3 * x, params["params"]["coordinates"]
    )
    nearly = module.apply(small, identity)
    plain = VoiceReader(width=24, reach=1e6).apply(small, identity)
    np.testing.assert_allclose(nearly, plain, atol=1e-6)


def test_a_code_has_unit_variance_and_tells_how_far_out_a_voice_is(code):
    module, params, coordinates = code
    one, further = (module.apply(params, scale * coordinates) for scale in (1.0, 2.0))
    np.testing.assert_allclose(np.asarray(one).std(-1), 1.0, atol=1e-3)
    assert float(jnp.abs(further - one).max(-1).min()) > 0.1


def test_a_code_is_noisy_in_training_only(code):
    module, params, coordinates = code
    plain = module.apply(params, coordinates)
    np.testing.assert_array_equal(plain, module.apply(params, coordinates))
    draws = [
        module.apply(params, coordinates, train=True, rngs={"dropout": jax.random.key(seed)})
        for seed in range(200)
    ]
    spread = np.asarray(draws) - np.asarray(plain)
    assert spread.std() == pytest.approx(0.2, rel=0.05)
    assert np.abs(spread.mean(axis=0)).max() < 5 * 0.2 / np.sqrt(200)
