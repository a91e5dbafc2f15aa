import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax.speech import encoder

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def voice_code():
    module = encoder.VoiceCode(size=8)
    identity = jax.random.normal(KEY, (3, 12))
    return module, module.init(KEY, identity), identity


@pytest.fixture(scope="module")
def text_encoder():
    module = encoder.TextEncoder(symbols=20, width=16, depth=2, expand=2)
    tokens, lengths = jax.random.randint(KEY, (2, 9), 0, 20), jnp.array([9, 5])
    code = jax.random.normal(KEY, (2, 8))
    params = jax.jit(module.init)(KEY, tokens, lengths, code)
    leaves, tree = jax.tree.flatten(params)  # zero-initialised gates would hide the voice
    keys = jax.random.split(KEY, len(leaves))
    noisy = [x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return jax.jit(module.apply), tree.unflatten(noisy), tokens, lengths, code


def test_voice_code_has_unit_variance_and_ignores_the_scale_of_the_face(voice_code):
    module, params, identity = voice_code
    code = module.apply(params, identity)
    np.testing.assert_allclose(np.asarray(code).std(-1), 1.0, atol=1e-3)
    np.testing.assert_allclose(code, module.apply(params, 50.0 * identity), atol=1e-3)


def test_voice_code_is_noisy_in_training_only(voice_code):
    module, params, identity = voice_code
    np.testing.assert_array_equal(module.apply(params, identity), module.apply(params, identity))
    draws = [
        module.apply(params, identity, train=True, rngs={"dropout": jax.random.key(seed)})
        for seed in (1, 2)
    ]
    assert float(jnp.abs(draws[0] - draws[1]).min(axis=-1).max()) > 0.0


def test_a_known_voice_has_a_code_too(voice_code):
    module, params, _ = voice_code
    coordinates = jax.random.normal(KEY, (3, 16))
    code = module.apply(params, coordinates, method="known")
    np.testing.assert_allclose(np.asarray(code).std(-1), 1.0, atol=1e-3)
    further = module.apply(params, 2.0 * coordinates, method="known")
    assert float(jnp.abs(further - code).max(-1).min()) > 0.1
    rngs = {"dropout": jax.random.key(1)}
    shaken = module.apply(params, coordinates, train=True, rngs=rngs, method="known")
    assert 0.0 < float(jnp.abs(shaken - code).max()) < 1.0


def test_init_also_makes_the_voice_regression(voice_code):
    module, params, identity = voice_code
    code = module.apply(params, identity)
    assert module.apply(params, code, method="voice").shape == (3, 16)


def test_text_padding_never_changes_a_result(text_encoder):
    apply, params, tokens, lengths, code = text_encoder
    e_t, prior = apply(params, tokens, lengths, code)
    alone, prior_alone = apply(params, tokens[1:, :5], lengths[1:], code[1:])
    np.testing.assert_allclose(e_t[1, :5], alone[0], atol=1e-5)
    np.testing.assert_allclose(prior[1, :5], prior_alone[0], atol=1e-5)
    assert not np.asarray(e_t[1, 5:]).any()
    assert not np.asarray(prior[1, 5:]).any()


def test_the_voice_reaches_every_phoneme(text_encoder):
    apply, params, tokens, lengths, code = text_encoder
    e_t, _ = apply(params, tokens, lengths, code)
    other, _ = apply(params, tokens, lengths, code[::-1])
    assert float(jnp.abs(e_t - other).max(-1)[0].min()) > 1e-3


def test_an_unknown_symbol_is_loud(text_encoder):
    apply, params, tokens, lengths, code = text_encoder
    e_t, _ = apply(params, tokens.at[0, 0].set(20), lengths, code)
    assert jnp.isnan(e_t[0]).any()
