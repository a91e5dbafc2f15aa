import jax
import jax.numpy as jnp
import numpy as np
import optax

from facespeak_jax.motion import accent

KEY = jax.random.key(0)
TEXT = 10


def by_hand(text, params):
    """Normalised features, a few cues, a response to each."""
    listen, kernel = (
        np.asarray(params["params"][part]["kernel"]) for part in ("listen", "respond")
    )
    text = np.asarray(text, np.float64)
    normal = (text - text.mean(-1, keepdims=True)) / np.sqrt(text.var(-1, keepdims=True) + 1e-6)
    cues = np.pad(normal @ listen, ((0, 0), (accent.RESPONSE, accent.RESPONSE), (0, 0)))
    each = [cues[:, k : k + text.shape[1]] @ kernel[k] for k in range(len(kernel))]
    return np.sum(each, axis=0)


def test_accent_is_a_response_to_each_cue():
    part = accent.Accent(latent=6, cues=2)
    text, valid = jax.random.normal(KEY, (2, 40, TEXT)), jnp.ones((2, 40), bool)
    params = jax.tree.map(lambda x: x + 0.1, part.init(KEY, text, valid))
    found = part.apply(params, text, valid)
    assert float(jnp.abs(found).mean()) > 0.1
    np.testing.assert_allclose(found, by_hand(text, params), atol=1e-4)
    # Without a text, and where it has ended, there is none.
    assert not np.any(part.apply(params, 0 * text, valid))
    short = part.apply(params, text, valid.at[1, 9:].set(False))
    np.testing.assert_allclose(short[1, :9], by_hand(text[1:, :9], params)[0], atol=1e-4)
    assert not np.any(short[1, 9:])


def test_a_head_that_has_learned_nothing_has_no_accent():
    part = accent.Accent(latent=6, cues=2)
    text, valid = jax.random.normal(KEY, (1, 20, TEXT)), jnp.ones((1, 20), bool)
    assert not np.any(part.apply(part.init(KEY, text, valid), text, valid))


def test_accent_learns_a_nod():
    """On one feature of the text, through noise ten times as loud, by the squared error alone."""
    part = accent.Accent(latent=1, cues=2)
    valid = jnp.ones((64, 100), bool)
    nod = np.zeros(2 * accent.RESPONSE + 1)
    nod[9:16] = -np.hanning(7)

    def draw(key):
        text = jax.random.normal(key, (64, 100, TEXT))
        normal = (text - text.mean(-1, keepdims=True)) / text.std(-1, keepdims=True)
        nods = jax.vmap(lambda x: jnp.convolve(x, nod[::-1], mode="same"))(normal[..., 4])
        return text, nods[..., None]

    params = part.init(KEY, *(x[:1] for x in (draw(KEY)[0], valid)))
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-2, 400))
    state = optimizer.init(params)

    @jax.jit
    def step(params, state, key):
        keys = jax.random.split(key)
        text, nods = draw(keys[0])
        target = nods + 10 * jnp.std(nods) * jax.random.normal(keys[1], nods.shape)

        def loss(p):
            return jnp.mean(jnp.square(part.apply(p, text, valid) - target))

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    for index in range(400):
        params, state = step(params, state, jax.random.fold_in(KEY, index))
    text, nods = draw(jax.random.key(99))
    found = part.apply(params, text, valid)
    assert np.corrcoef(found.ravel(), nods.ravel())[0, 1] > 0.9
