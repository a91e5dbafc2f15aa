"""One training step of any stage: gradients of both groups, the gate on non-finites, updates."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float
from ml_collections import ConfigDict

from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.stages.stage import Adversarial, Batch, Metrics, Params, Stage
from facespeak_jax.training import metrics, placement, state
from facespeak_jax.training.metrics import Accumulator
from facespeak_jax.training.state import TrainState


class UnknownPart(FaceSpeakError):
    """`config.train.only` names a part that the stage does not train."""


Step = Callable[
    [TrainState, Accumulator, Batch, jax.Array], tuple[TrainState, Accumulator, Float[Array, ""]]
]


def gradients(
    stage: Stage,
    params: Params,
    batch: Batch,
    key: jax.Array,
    step: Any,
    *,
    remat: bool,
    only: Sequence[str] = (),
) -> tuple[dict[str, Any], Metrics]:
    """Gradients of the groups that train, and every metric of the step (losses included).

    Those of parts that are not among `only`, if any are named, are zero. Raises UnknownPart.
    """
    loss_key, critic_key = jax.random.split(key)

    def loss(model: Any):
        whole = placement.gathered(params | {"model": _fixed(model, only)})
        return stage.loss(whole, batch, loss_key, step)

    if remat:
        loss = jax.checkpoint(loss, policy=_products)
    with nn.intercept_methods(placement.kept):
        (value, outputs), grads = jax.value_and_grad(loss, has_aux=True)(params["model"])
    found = {"loss": value, **outputs.metrics}
    if not (isinstance(stage, Adversarial) and params.get("critic")):
        return {"model": placement.scattered(grads)}, found
    carry = jax.lax.stop_gradient(outputs.carry)

    def critic_loss(critic: Any):
        whole = placement.gathered(params | {"critic": critic})
        return stage.critic_loss(whole, carry, batch, critic_key, step)

    with nn.intercept_methods(placement.kept):
        judged = jax.value_and_grad(critic_loss, has_aux=True)(params["critic"])
    (value, more), critic_grads = judged
    grads = placement.scattered({"model": grads, "critic": critic_grads})
    return grads, {**found, "critic_loss": value, **more}


def _fixed(model: Mapping[str, Any], only: Sequence[str]) -> dict[str, Any]:
    """The parts, those that are not to be trained without a gradient."""
    if unknown := sorted(set(only) - set(model)):
        raise UnknownPart(
            f"config.train.only names {', '.join(unknown)}; this stage trains {', '.join(model)}"
        )
    return {
        part: values if part in only or not only else jax.lax.stop_gradient(values)
        for part, values in model.items()
    }


def _products(primitive: Any, *_: Any, **__: Any) -> bool:
    """Rematerialisation keeps convolutions and matrix products and recomputes what lies between."""
    return primitive.name in ("conv_general_dilated", "dot_general")


def accumulated(
    stage: Stage, params: Params, batch: Batch, key: jax.Array, step: Any, *, train: ConfigDict
) -> tuple[dict[str, Any], Metrics]:
    """`gradients`, averaged over `train.accumulate` interleaved parts of the batch."""
    count = train.accumulate
    options = {"remat": train.remat, "only": tuple(train.only)}
    if count == 1:
        return gradients(stage, params, batch, key, step, **options)
    # Row r goes to part r % count, so that each device keeps its own rows.
    parts = jax.tree.map(
        lambda x: x.reshape(x.shape[0] // count, count, *x.shape[1:]).swapaxes(0, 1), batch
    )

    def one(i: Any, part: Batch):
        return gradients(stage, params, part, jax.random.fold_in(key, i), step, **options)

    def add(total: Any, indexed: Any):
        return jax.tree.map(jnp.add, total, one(*indexed)), None

    shapes = jax.eval_shape(one, 0, jax.tree.map(lambda x: x[0], parts))
    zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    total, _ = jax.lax.scan(add, zeros, (jnp.arange(count), parts))
    return jax.tree.map(lambda x: x / count, total)


def make(
    stage: Stage, train: ConfigDict, optimizers: dict[str, optax.GradientTransformation]
) -> Step:
    """The function the loop compiles. Its last result is a scalar to wait for, never donated.

    The first non-finite loss or gradient of a window stops every later update of that window on
    the device, so the state that met it is still there when the loop notices.
    """

    def step(now: TrainState, seen: Accumulator, batch: Batch, key: jax.Array):
        key = jax.random.fold_in(key, now.step)
        grads, values = accumulated(stage, now.params, batch, key, now.step, train=train)
        params, opt_state = dict(now.params), dict(now.opt_state)
        for group, tx in optimizers.items():
            params[group], opt_state[group], norms = state.update(
                tx, grads[group], opt_state[group], params[group]
            )
            values |= {f"gradient/{part}": norm for part, norm in norms.items()}
        ema = state.average(now.ema, params["model"], now.step, train.ema)
        seen = seen.add(values, now.step, metrics.all_finite(values))
        after = TrainState(now.step, params, opt_state, ema)
        after = jax.tree.map(lambda a, b: jnp.where(seen.bad_step < 0, a, b), after, now)
        return after.replace(step=now.step + 1), seen, values["loss"]

    return step


def metric_names(
    stage: Stage,
    train: ConfigDict,
    optimizers: dict[str, Any],
    params: Params,
    batch: Mapping[str, Any],
) -> list[str]:
    """The names of every metric `make`'s step adds, found without running it, or from shapes."""
    values = jax.eval_shape(
        lambda p, b: accumulated(stage, p, b, jax.random.key(0), jnp.int32(0), train=train)[1],
        params,
        batch,
    )
    parts = [f"gradient/{part}" for group in optimizers for part in params[group]]
    return [*values, *parts]
