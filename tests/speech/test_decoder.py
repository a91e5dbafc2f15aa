import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax import flow
from facespeak_jax.speech import decoder

KEY = jax.random.key(0)


def noise(seed, *shape):
    return jax.random.normal(jax.random.fold_in(KEY, seed), shape)


@pytest.fixture(scope="module")
def tiny():
    module = decoder.MelDecoder(width=16, blocks=1, middle=1, window=4)
    text, code = noise(3, 2, 24, 20), noise(4, 2, 8)
    lengths = jnp.array([24, 12])
    params = jax.jit(module.init)(KEY, noise(1, 2, 24, 80), jnp.ones(2), text, code, lengths)
    leaves, tree = jax.tree.flatten(params)  # the last layer starts at zero
    params = tree.unflatten([x + 0.1 * noise(10 + i, *x.shape) for i, x in enumerate(leaves)])
    return jax.jit(module.apply), params, text, code, lengths


def test_padding_never_changes_a_velocity(tiny):
    apply, params, text, code, lengths = tiny
    x, t = noise(1, 2, 24, 80), jnp.array([0.3, 0.7])
    out = apply(params, x, t, text, code, lengths)
    alone = apply(params, x[1:, :12], t[1:], text[1:, :12], code[1:], lengths[1:])
    np.testing.assert_allclose(out[1, :12], alone[0], atol=1e-5)
    assert not np.asarray(out[1, 12:]).any()


def test_padding_never_changes_a_sample(tiny):
    apply, params, text, code, lengths = tiny

    def sample(text, code, lengths):
        start = flow.frame_noise(jax.random.key(7), text.shape[1], 80)
        x0 = jnp.broadcast_to(start[None], (*text.shape[:2], 80))
        return flow.Heun().solve(lambda x, t: apply(params, x, t, text, code, lengths), x0, 3)

    bucket = sample(text, code, lengths)
    alone = sample(text[1:, :12], code[1:], lengths[1:])
    np.testing.assert_allclose(bucket[1, :12], alone[0], atol=1e-5)


@pytest.mark.parametrize("changed", ["time", "text", "code"])
def test_every_condition_matters(tiny, changed):
    apply, params, text, code, lengths = tiny
    x, t = noise(1, 2, 24, 80), jnp.array([0.3, 0.7])
    out = apply(params, x, t, text, code, lengths)
    other = {
        "time": (x, t + 0.2, text, code),
        "text": (x, t, text + 1.0, code),
        "code": (x, t, text, code + noise(8, *code.shape)),
    }[changed]
    assert float(jnp.abs(out - apply(params, *other, lengths)).max()) > 1e-3


def test_fold_and_back_is_identity():
    x = noise(1, 2, 8, 6)
    np.testing.assert_array_equal(decoder.unfold(decoder.fold(x)), x)


def test_odd_lengths_are_refused():
    module = decoder.MelDecoder(width=16, blocks=1, middle=1)
    with pytest.raises(ValueError, match="even"):
        module.init(
            KEY, noise(1, 1, 7, 80), jnp.ones(1), noise(2, 1, 7, 4), noise(3, 1, 8), jnp.array([7])
        )


def test_default_size_is_at_most_three_million():
    shapes = jax.eval_shape(
        decoder.MelDecoder().init,
        KEY,
        jnp.zeros((1, 8, 80)),
        jnp.zeros(1),
        jnp.zeros((1, 8, 240)),
        jnp.zeros((1, 64)),
        jnp.array([8]),
    )
    assert 2e6 < sum(x.size for x in jax.tree.leaves(shapes)) <= 3e6
