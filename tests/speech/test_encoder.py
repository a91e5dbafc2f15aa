import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax.speech import encoder

KEY = jax.random.key(0)


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
