import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax
import pytest

from facespeak_jax.training import state


def optim(**changes):
    values = {"lr": 1e-2, "schedule": "constant", "warmup": 0, "b1": 0.9, "b2": 0.99}
    values |= {"weight_decay": 0.0, "clip": 1e9}
    return ml_collections.ConfigDict(values | changes)


def test_schedules_warm_up_and_end_where_they_say():
    cosine = state.schedule(optim(schedule="cosine", warmup=10), 100)
    assert float(cosine(0)) == 0
    np.testing.assert_allclose(cosine(5), 5e-3, rtol=1e-5)
    np.testing.assert_allclose(cosine(10), 1e-2, rtol=1e-5)
    np.testing.assert_allclose(cosine(100), 2e-4, rtol=1e-4)
    constant = state.schedule(optim(warmup=4), 100)
    np.testing.assert_allclose(
        [constant(2), constant(4), constant(99)], [5e-3, 1e-2, 1e-2], rtol=1e-5
    )
    with pytest.raises(state.BadOptimizer, match="linear"):
        state.schedule(optim(schedule="linear"), 10)


def test_first_adam_step_has_the_size_of_the_rate():
    params = {"part": {"kernel": jnp.ones((2, 2))}}
    grads = {"part": {"kernel": jnp.array([[1.0, -2.0], [3.0, -4.0]])}}
    tx = state.optimizer(optim(), 10)
    new, _, norms = state.update(tx, grads, tx.init(params), params)
    np.testing.assert_allclose(new["part"]["kernel"], [[0.99, 1.01], [0.99, 1.01]], rtol=1e-5)
    np.testing.assert_allclose(norms["part"], np.sqrt(30), rtol=1e-6)


def test_only_matrices_decay_and_only_parts_with_gradient():
    part = {"kernel": jnp.ones((2, 2)), "bias": jnp.ones(2)}
    params = {"live": part, "still": part}
    zero = jax.tree.map(jnp.zeros_like, part)
    grads = {"live": {"kernel": zero["kernel"], "bias": jnp.array([1e-15, 0.0])}, "still": zero}
    tx = state.optimizer(optim(weight_decay=0.5), 10)
    new, _, _ = state.update(tx, grads, tx.init(params), params)
    np.testing.assert_allclose(new["live"]["kernel"], 1 - 0.5 * 1e-2, rtol=1e-6)
    np.testing.assert_allclose(new["live"]["bias"], 1, atol=1e-6)
    np.testing.assert_array_equal(new["still"]["kernel"], 1)


def test_average_starts_fast_and_ends_slow():
    old, new = {"x": jnp.zeros(())}, {"x": jnp.ones(())}
    np.testing.assert_allclose(state.average(old, new, jnp.int32(0), 0.999)["x"], 0.9, rtol=1e-6)
    late = state.average(old, new, jnp.int32(10**6), 0.999)["x"]
    np.testing.assert_allclose(late, 1e-3, rtol=1e-4)


def test_a_fresh_state_shares_no_buffer_with_its_average():
    params = {"model": {"part": {"kernel": jnp.ones((2, 2))}}}
    fresh = state.create(params, {"model": optax.sgd(1.0)})
    pointer = fresh.params["model"]["part"]["kernel"].unsafe_buffer_pointer()
    assert fresh.ema["part"]["kernel"].unsafe_buffer_pointer() != pointer


def test_only_groups_with_parts_get_an_optimizer():
    config = ml_collections.ConfigDict({"model": optim(), "critic": optim()})
    part = {"part": {"kernel": jnp.ones((2, 2))}}
    assert set(state.optimizers(config, 10, {"model": part, "critic": part})) == {"model", "critic"}
    assert set(state.optimizers(config, 10, {"model": part, "critic": {}})) == {"model"}
    assert set(state.optimizers(config, 10, {"model": part, "frozen": part})) == {"model"}
