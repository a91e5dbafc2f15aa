import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax.stages.stage import Outputs
from facespeak_jax.training import metrics, state, step
from tests import toy


class Still(toy.ToyStage):
    """The toy without randomness, so that parts of a batch mean what the whole means."""

    def _run(self, model, batch, key):
        x = jnp.concatenate([self._image(batch)[:, ::2], batch["noise"]], -1)
        return self.decoder.apply({"params": model["decoder"]}, x)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    return {
        "image": jnp.asarray(rng.integers(256, size=(8, 192)), jnp.uint8),
        "noise": jnp.asarray(rng.normal(size=(8, 4)), jnp.float32),
    }


def compute(stage, batch, **train):
    params = stage.init(jax.random.key(1), batch)
    config = toy.config(**train).train
    return jax.jit(lambda p, b, k: step.accumulated(stage, p, b, k, jnp.int32(0), train=config))(
        params, batch, jax.random.key(2)
    )


def test_accumulated_parts_equal_the_whole_batch(batch):
    whole = compute(Still(toy.config()), batch)
    parts = compute(Still(toy.config()), batch, accumulate=4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), whole, parts)


def test_rematerialised_gradients_are_the_same(batch):
    plain = compute(toy.ToyStage(toy.config()), batch)
    again = compute(toy.ToyStage(toy.config()), batch, remat=True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), plain, again)


@pytest.mark.parametrize("count", [1, 2])
def test_only_the_parts_named_have_a_gradient(batch, count):
    whole, _ = compute(Still(toy.config()), batch, accumulate=count)
    grads, seen = compute(Still(toy.config()), batch, accumulate=count, only=("decoder",))
    jax.tree.map(
        np.testing.assert_array_equal, grads["model"]["decoder"], whole["model"]["decoder"]
    )
    others = {part: slope for part, slope in grads["model"].items() if part != "decoder"}
    assert others
    assert not any(np.any(slope) for slope in jax.tree.leaves(others))
    assert any(np.any(slope) for slope in jax.tree.leaves(grads["model"]["decoder"]))
    assert np.isfinite(seen["loss"])


def test_a_part_that_is_not_there_cannot_be_trained(batch):
    with pytest.raises(step.UnknownPart, match=r"names decodr; this stage trains .*decoder"):
        compute(Still(toy.config()), batch, only=("decodr",))


def test_each_group_sees_its_own_loss_alone(batch):
    class Split(Still):
        def loss(self, params, batch, key, step):
            weight = params["critic"]["linear"]["kernel"].sum()
            return weight * params["model"]["unused"]["weight"].sum(), Outputs({}, weight)

        def critic_loss(self, params, carry, batch, key, step):
            return carry * params["model"]["unused"]["weight"].sum(), {}

    stage = Split(toy.config())
    grads, _ = compute(stage, batch)
    kernel = stage.init(jax.random.key(1), batch)["critic"]["linear"]["kernel"]
    np.testing.assert_allclose(grads["model"]["unused"]["weight"], kernel.sum(), rtol=1e-5)
    np.testing.assert_array_equal(grads["critic"]["linear"]["kernel"], 0)


def test_without_critics_the_model_trains_alone(batch):
    class Alone(Still):
        def init(self, key, batch):
            return super().init(key, batch) | {"critic": {}}

        def loss(self, params, batch, key, step):
            made = self._run(params["model"], batch, key)
            return jnp.square(made - self._image(batch)).mean(), Outputs({})

    grads, values = compute(Alone(toy.config()), batch)
    assert set(grads) == {"model"}
    assert set(values) == {"loss"}


def test_a_bad_step_and_those_after_it_change_nothing_but_the_count(batch):
    config = toy.config()
    stage = toy.ToyStage(config, broken=2)
    params = stage.init(jax.random.key(0), batch)
    optimizers = state.optimizers(config.optim, 10, params)
    now = state.create(params, optimizers)
    names = step.metric_names(stage, config.train, optimizers, now.params, batch)
    advance = jax.jit(step.make(stage, config.train, optimizers))
    states, seen = [now], metrics.empty(names)
    for _ in range(4):
        now, seen, _ = advance(states[-1], seen, batch, jax.random.key(0))
        states.append(now)
    assert [int(s.step) for s in states] == [0, 1, 2, 3, 4]
    assert int(seen.bad_step) == 2
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), states[1].params, states[2].params)
    assert changed["model"]["decoder"]["Dense_0"]["kernel"]
    for later in states[3:]:
        kept = later.replace(step=states[2].step)
        jax.tree.map(np.testing.assert_array_equal, kept, states[2])
