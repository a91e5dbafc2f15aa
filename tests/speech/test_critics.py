import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from facespeak_jax.speech import critics

KEY = jax.random.key(0)
CRITICS = {
    "period": critics.MultiPeriodCritic((2, 3), (4, 8)),
    "resolution": critics.MultiResolutionCritic((320, 640), width=4, depth=2),
}


def waves(seed, n=3200):
    return 0.1 * jax.random.normal(jax.random.fold_in(KEY, seed), (2, n))


@pytest.mark.parametrize("kind", CRITICS)
def test_one_judgement_a_scale_with_finite_gradients_in_silence(kind):
    module = CRITICS[kind]
    params = jax.jit(module.init)(KEY, waves(1))

    def total(wave):
        judgements = module.apply(params, wave)
        assert len(judgements) == 2
        assert all(judgement.features for judgement in judgements)
        return critics.adversarial_loss(judgements)

    assert jnp.isfinite(jax.jit(jax.grad(total))(jnp.zeros((2, 3200)))).all()


def test_period_critic_sees_every_period_alone():
    """A change at one phase of the period leaves the judgement of the other phases as it was."""
    module = critics.PeriodCritic(4, (8,))
    wave = waves(1)
    params = jax.jit(module.init)(KEY, wave)
    before = module.apply(params, wave).logits.reshape(2, 4, -1)
    after = module.apply(params, wave.at[:, 401].add(1.0)).logits.reshape(2, 4, -1)
    changed = np.abs(np.asarray(before - after)).max((0, 2)) > 1e-6
    np.testing.assert_array_equal(changed, [False, True, False, False])


def judgement(value):
    return critics.Judgement(jnp.full((2, 3, 1), value), (jnp.full((2, 3, 4), value),))


def test_losses_in_closed_form():
    real, fake = (judgement(1.0), judgement(0.5)), (judgement(0.0), judgement(0.25))
    assert float(critics.critic_loss(real, fake)) == pytest.approx((0 + 0 + 0.25 + 0.0625) / 2)
    assert float(critics.adversarial_loss(fake)) == pytest.approx((1 + 0.5625) / 2)
    assert float(critics.feature_loss(real, fake)) == pytest.approx((1.0 + 0.25) / 2)


@pytest.mark.parametrize("kind", CRITICS)
def test_a_critic_learns_to_tell_a_tone_from_noise(kind):
    module = CRITICS[kind]
    tone = 0.2 * jnp.sin(jnp.arange(3200.0)[None, :] * jnp.array([[0.3], [0.11]]))
    params = jax.jit(module.init)(KEY, tone)
    optimizer = optax.adam(1e-2)

    def loss(params, key):
        made = 0.14 * jax.random.normal(key, tone.shape)
        return critics.critic_loss(module.apply(params, tone), module.apply(params, made))

    @jax.jit
    def step(params, state, key):
        value, gradient = jax.value_and_grad(loss)(params, key)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, value

    state = optimizer.init(params)
    for index in range(40):
        params, state, value = step(params, state, jax.random.fold_in(KEY, index))
    assert float(value) < 0.3
