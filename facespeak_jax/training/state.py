"""What training keeps from step to step, and the optimizers that change it."""

from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from facespeak_jax.errors import FaceSpeakError

TRAINED = ("model", "critic")  # the groups that have an optimizer where they have parts


class BadOptimizer(FaceSpeakError):
    """The optimizer's config does not make sense."""


@flax.struct.dataclass
class TrainState:
    """step int32 (); params group -> part -> arrays; ema: a moving average of params["model"]."""

    step: Any
    params: dict[str, Any]
    opt_state: dict[str, Any]
    ema: dict[str, Any]


def create(
    params: dict[str, Any], optimizers: dict[str, optax.GradientTransformation]
) -> TrainState:
    """The state before the first step."""
    return TrainState(
        step=jnp.int32(0),
        params=params,
        opt_state={group: tx.init(params[group]) for group, tx in optimizers.items()},
        ema=jax.tree.map(jnp.copy, params["model"]),
    )


def schedule(optim: ConfigDict, steps: int) -> optax.Schedule:
    """Linear warm-up over `optim.warmup` steps, then constant or cosine to 2 % at `steps`."""
    if optim.schedule == "constant":
        return optax.join_schedules(
            [optax.linear_schedule(0.0, optim.lr, optim.warmup), optax.constant_schedule(optim.lr)],
            [optim.warmup],
        )
    if optim.schedule == "cosine":
        return optax.warmup_cosine_decay_schedule(
            0.0, optim.lr, optim.warmup, max(steps, optim.warmup + 1), 0.02 * optim.lr
        )
    raise BadOptimizer(f"optim.schedule is {optim.schedule!r}; it must be constant or cosine")


def optimizer(optim: ConfigDict, steps: int) -> optax.GradientTransformation:
    """AdamW on gradients clipped to a global norm; only matrices and kernels decay."""
    adamw = optax.adamw(
        schedule(optim, steps),
        b1=optim.b1,
        b2=optim.b2,
        weight_decay=optim.weight_decay,
        mask=lambda params: jax.tree.map(lambda x: x.ndim > 1, params),
    )
    return optax.chain(optax.clip_by_global_norm(optim.clip), adamw)


def optimizers(
    optim: ConfigDict, steps: int, params: dict[str, Any]
) -> dict[str, optax.GradientTransformation]:
    """Group -> `optimizer` of `optim.<group>`, for every group of the parameters that trains."""
    return {group: optimizer(optim[group], steps) for group in TRAINED if params.get(group)}


def update(
    tx: optax.GradientTransformation, grads: dict[str, Any], opt_state: Any, params: dict[str, Any]
) -> tuple[dict[str, Any], Any, dict[str, Float[Array, ""]]]:
    """New parameters, optimizer state and the gradient norm of each part.

    A part whose gradient is exactly zero is left alone: neither momentum nor decay moves it.
    """
    proposed: Any
    proposed, opt_state = tx.update(grads, opt_state, params)
    norms = {part: optax.global_norm(grads[part]) for part in grads}
    updates = {
        part: jax.tree.map(lambda u, n=norms[part]: jnp.where(n != 0, u, 0), proposed[part])
        for part in grads
    }
    new: Any = optax.apply_updates(params, updates)
    return new, opt_state, norms


def average(ema: Any, params: Any, step: Int[Array, ""], decay: float) -> Any:
    """The moving average after `step`, with a decay that starts low: min(decay, (1+n)/(10+n))."""
    now = jnp.minimum(decay, (1.0 + step) / (10.0 + step))
    return jax.tree.map(lambda old, new: old + (1 - now) * (new - old), ema, params)
