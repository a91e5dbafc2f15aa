import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from facespeak_jax import layers
from facespeak_jax.motion.reducer import NoiseReducer, Standardiser, low_pass

KEY = jax.random.key(0)
HEAD, LATENT, LENGTH, BUCKET = 16, 6, 40, 56


def smooth_alpha(rng, batch, length, scale=0.3, offset=1.5, kept=0.0):
    """Sums of sinusoids below 3 Hz in six of sixteen directions, far from zero mean; about that,
    with a deviation `kept`, each clip has a mean of its own in all sixteen."""
    time = np.arange(length) / 25.0
    frequency = rng.uniform(0.1, 3.0, (batch, LATENT, 3, 1))
    phase = rng.uniform(0, 2 * np.pi, frequency.shape)
    waves = np.sin(2 * np.pi * frequency * time + phase).mean(axis=2)
    mixing = np.random.default_rng(7).normal(size=(LATENT, HEAD))
    motion = scale * np.einsum("bkt,kh->bth", waves, mixing)
    return jnp.array(offset + motion + kept * rng.normal(size=(batch, 1, HEAD)), jnp.float32)


def test_standardiser_inverts_itself_and_learns_mean_and_deviation():
    part = Standardiser(3)
    truth = jnp.array([2.0, -1.0, 0.0]), jnp.array([0.1, 1.0, 5.0])
    x = truth[0][None, None, :] + truth[1][None, None, :] * jax.random.normal(KEY, (8, 50, 3))
    valid = jnp.ones((8, 50), bool)
    params = part.init(KEY, x, valid, method="surprise")
    optimizer = optax.adam(3e-3)
    state = optimizer.init(params)
    gradient = jax.jit(jax.grad(lambda p: part.apply(p, x, valid, method="surprise")))
    for _ in range(500):
        updates, state = optimizer.update(gradient(params), state)
        params = optax.apply_updates(params, updates)
    z = part.apply(params, x, method="standardise")
    np.testing.assert_allclose(jnp.mean(z, axis=(0, 1)), 0.0, atol=0.05)
    np.testing.assert_allclose(jnp.std(z, axis=(0, 1)), 1.0, atol=0.05)
    np.testing.assert_allclose(part.apply(params, z, method="restore"), x, atol=1e-5)


def test_surprise_gives_no_gradient_to_what_is_standardised():
    part, valid = Standardiser(3), jnp.ones((2, 5), bool)
    x = jax.random.normal(KEY, (2, 5, 3))
    params = part.init(KEY, x, valid, method="surprise")
    gradient = jax.grad(lambda y: part.apply(params, y, valid, method="surprise"))(x)
    assert float(jnp.abs(gradient).max()) == 0.0


def test_low_pass_keeps_constants_to_the_ends_and_removes_the_fastest_wave():
    valid = layers.mask(jnp.array([10, 7]), 10)
    constant = low_pass(jnp.full((2, 10, 1), 3.0), valid)
    np.testing.assert_allclose(constant[..., 0], 3.0 * valid, atol=1e-6)
    fastest = jnp.broadcast_to((-1.0) ** jnp.arange(10)[None, :, None], (2, 10, 1))
    np.testing.assert_allclose(low_pass(fastest, valid)[0, 1:-1], 0.0, atol=1e-6)


def test_padding_changes_neither_code_nor_coefficients():
    part = NoiseReducer(width=16)
    alpha = smooth_alpha(np.random.default_rng(0), 2, LENGTH)
    padded = jnp.concatenate([alpha, jnp.full((2, BUCKET - LENGTH, HEAD), 1e3)], axis=1)
    lengths = jnp.array([LENGTH, LENGTH - 9])
    source = alpha[:, 3]
    params, apply = jax.jit(part.init)(KEY, alpha, source, lengths), jax.jit(part.apply)
    alone, bucket = apply(params, alpha, source, lengths), apply(params, padded, source, lengths)
    np.testing.assert_allclose(bucket.code[:, :LENGTH], alone.code, atol=1e-5)
    np.testing.assert_allclose(bucket.alpha[:, :LENGTH], alone.alpha, atol=1e-5)
    assert float(jnp.abs(bucket.alpha[0, LENGTH:]).max()) == 0.0
    short = apply(params, alpha[1:, : LENGTH - 9], source[1:], lengths[1:])
    np.testing.assert_allclose(short.code, alone.code[1:, : LENGTH - 9], atol=1e-5)


def train(corpus, rng):
    """A small reducer of the corpus, with any frame of a clip for its portrait."""
    part, lengths = NoiseReducer(width=32, depth=1), jnp.full((16,), LENGTH)
    params = jax.jit(part.init)(KEY, corpus[:16], corpus[:16, 0], lengths)
    optimizer = optax.adam(optax.cosine_decay_schedule(6e-3, 1500))

    @jax.jit
    def step(params, state, alpha, source):
        def loss(p):
            out = part.apply(p, alpha, source, lengths)
            return jnp.mean(jnp.square(out.alpha - alpha)) + 1e-2 * out.surprise

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    for _ in range(1500):
        alpha = corpus[rng.integers(len(corpus), size=16)]
        source = alpha[np.arange(16), rng.integers(LENGTH, size=16)]
        params, state = step(params, state, alpha, source)
    return jax.jit(part.apply), params


@pytest.fixture(scope="module")
def trained():
    rng = np.random.default_rng(1)
    return train(smooth_alpha(rng, 2048, LENGTH), rng)


def test_smooth_motion_passes_and_its_code_is_standard(trained):
    apply, params = trained
    alpha = smooth_alpha(np.random.default_rng(2), 64, LENGTH)
    out = apply(params, alpha, alpha[:, 20], jnp.full((64,), LENGTH))
    error = jnp.mean(jnp.square(out.alpha - alpha))
    assert float(error) < 0.05 * float(jnp.var(alpha))
    np.testing.assert_allclose(jnp.mean(out.code, axis=(0, 1)), 0.0, atol=0.2)
    np.testing.assert_allclose(jnp.std(out.code, axis=(0, 1)), 1.0, atol=0.25)


def test_jitter_is_reduced(trained):
    apply, params = trained
    alpha = smooth_alpha(np.random.default_rng(3), 16, LENGTH)
    noisy = alpha + 0.1 * jax.random.normal(KEY, alpha.shape)
    lengths = jnp.full((16,), LENGTH)
    clean = apply(params, alpha, alpha[:, 0], lengths).alpha
    left = apply(params, noisy, noisy[:, 0], lengths).alpha - clean

    def jerk(x):
        return float(jnp.mean(jnp.square(jnp.diff(x, axis=1))))

    assert jerk(left) < 0.3 * jerk(noisy - alpha)


def test_what_a_clip_keeps_comes_from_the_portrait():
    """Six numbers a frame cannot tell sixteen that stay: the portrait does, whichever it is."""
    rng = np.random.default_rng(4)
    apply, params = train(smooth_alpha(rng, 2048, LENGTH, kept=0.3), rng)
    alpha = smooth_alpha(np.random.default_rng(5), 64, LENGTH, kept=0.3)
    lengths = jnp.full((64,), LENGTH)

    def error(source):
        return float(jnp.mean(jnp.square(apply(params, alpha, source, lengths).alpha - alpha)))

    own, later, other = error(alpha[:, 0]), error(alpha[:, 30]), error(jnp.roll(alpha[:, 0], 1, 0))
    assert max(own, later) < 0.2 * 0.3**2
    assert other > 4 * max(own, later)


def test_a_plain_reducer_reduces_nothing():
    alpha = 3.0 + 2.0 * jax.random.normal(jax.random.key(0), (2, 12, 6))
    lengths = jnp.array([12, 7])
    plain = NoiseReducer(head=6, latent=6, plain=True)
    source = alpha[:, 0]
    variables = plain.init(jax.random.key(1), alpha, source, lengths)
    assert set(variables["params"]) == {"alpha_scale"}
    centred = jax.tree.map(lambda x: x + 0.05, variables)
    out = plain.apply(centred, alpha, source, lengths)
    valid = jnp.arange(12)[None, :, None] < lengths[:, None, None]
    np.testing.assert_allclose(out.alpha, jnp.where(valid, alpha, 0.0), atol=1e-5)
    deviation = np.exp(0.5)
    np.testing.assert_allclose(
        out.code, jnp.where(valid, (alpha - 0.5) / deviation, 0.0), atol=1e-5
    )
    with pytest.raises(ValueError, match="no code of 2"):
        NoiseReducer(head=6, latent=2, plain=True).init(jax.random.key(1), alpha, source, lengths)
