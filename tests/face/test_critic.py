"""The critic's shapes, and that it can tell two sets of images apart."""

import jax
import jax.numpy as jnp
import optax

from facespeak_jax.face.critic import ImageCritic


def test_shapes():
    critic = ImageCritic(widths=(4, 6, 8))
    image = jnp.zeros((2, 64, 64, 3))
    logits, features = jax.jit(critic.init_with_output)(jax.random.key(0), image)[0]
    assert logits.shape == (2, 8, 8, 1)
    assert [feature.shape for feature in features] == [(2, 32, 32, 4), (2, 16, 16, 6), (2, 8, 8, 8)]


def test_learns_to_tell_noise_from_flat():
    critic = ImageCritic(widths=(4, 6))
    key = jax.random.key(0)
    real = jax.random.uniform(key, (4, 1, 1, 3)) * jnp.ones((4, 16, 16, 3))
    fake = real + 0.3 * jax.random.normal(key, real.shape)
    params = jax.jit(critic.init)(key, real)
    optimiser = optax.adam(3e-3)
    state = optimiser.init(params)

    def loss(p):
        return (
            jax.nn.softplus(-critic.apply(p, real)[0]).mean()
            + jax.nn.softplus(critic.apply(p, fake)[0]).mean()
        )

    @jax.jit
    def step(params, state):
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = optimiser.update(gradient, state)
        return value, optax.apply_updates(params, updates), state

    first, params, state = step(params, state)
    for _ in range(60):
        last, params, state = step(params, state)
    assert last < 0.5 * first
