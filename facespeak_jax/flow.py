"""Optimal-transport conditional flow matching: the path, its loss, and the solvers that walk it.

Noise x0 ~ N(0, I) (or around a mean) moves to data x1 on a straight line, t in [0, 1]:

    x_t = (1 - (1 - sigma) t) x0 + t x1,      u = dx_t/dt = x1 - (1 - sigma) x0

Lipman et al. 2022, "Flow Matching for Generative Modeling", Eqs. 20-23.
"""

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from facespeak_jax import layers

Velocity = Callable[[Float[Array, "b t c"], Float[Array, " b"]], Float[Array, "b t c"]]


@dataclasses.dataclass(frozen=True)
class OTCFM:
    """The path with a residual width `sigma` around the data at t = 1."""

    sigma: float = 1e-4

    def path(
        self, x0: Float[Array, "b t c"], x1: Float[Array, "b t c"], t: Float[Array, " b"]
    ) -> tuple[Float[Array, "b t c"], Float[Array, "b t c"]]:
        """The point x_t on the way from x0 to x1, and the velocity there."""
        time = t[:, None, None]
        keep = 1.0 - self.sigma
        return (1.0 - keep * time) * x0 + time * x1, x1 - keep * x0

    def loss(
        self,
        velocity: Velocity,
        x0: Float[Array, "b t c"],
        x1: Float[Array, "b t c"],
        t: Float[Array, " b"],
        valid: Bool[Array, "b t"],
    ) -> Float[Array, ""]:
        """Mean squared error of `velocity(x_t, t)` over the valid positions, in float32."""
        point, target = self.path(x0, x1, t)
        error = velocity(layers.hide(point, valid), t).astype(jnp.float32) - target
        return layers.masked_mean(jnp.square(error), valid)


@runtime_checkable
class Solver(Protocol):
    """Anything that carries x0 at t = 0 to t = 1 along a velocity."""

    def solve(
        self, velocity: Velocity, x0: Float[Array, "b t c"], steps: int
    ) -> Float[Array, "b t c"]: ...


def _walk(step: Callable, x0: Float[Array, "b t c"], steps: int) -> Float[Array, "b t c"]:
    """`step(x, t, dt)` applied at `steps` equal intervals of [0, 1]; differentiable both ways."""
    if steps < 1:
        raise ValueError(f"a solver needs at least one step, not {steps}")
    dt = 1.0 / steps

    def advance(index: Array, x: Array) -> Array:
        t = jnp.full((x.shape[0],), dt, jnp.float32) * index
        return step(x, t, dt)

    return jax.lax.fori_loop(0, steps, advance, x0)


@dataclasses.dataclass(frozen=True)
class Euler:
    """First order, one evaluation a step."""

    def solve(
        self, velocity: Velocity, x0: Float[Array, "b t c"], steps: int
    ) -> Float[Array, "b t c"]:
        return _walk(lambda x, t, dt: x + dt * velocity(x, t), x0, steps)


@dataclasses.dataclass(frozen=True)
class Midpoint:
    """Second order, two evaluations a step: the slope half a step ahead."""

    def solve(
        self, velocity: Velocity, x0: Float[Array, "b t c"], steps: int
    ) -> Float[Array, "b t c"]:
        def step(x: Array, t: Array, dt: float) -> Array:
            half = x + 0.5 * dt * velocity(x, t)
            return x + dt * velocity(half, t + 0.5 * dt)

        return _walk(step, x0, steps)


@dataclasses.dataclass(frozen=True)
class Heun:
    """Second order, two evaluations a step: the mean of the slopes at either end."""

    def solve(
        self, velocity: Velocity, x0: Float[Array, "b t c"], steps: int
    ) -> Float[Array, "b t c"]:
        def step(x: Array, t: Array, dt: float) -> Array:
            first = velocity(x, t)
            return x + 0.5 * dt * (first + velocity(x + dt * first, t + dt))

        return _walk(step, x0, steps)


def frame_noise(key: Key[Array, ""], length: int, width: int) -> Float[Array, "{length} {width}"]:
    """Standard normal noise (length, width), each frame from a key of its own.

    Noise of more frames from the same key begins with exactly the same numbers, so a longer bucket
    changes nothing but its own end.
    """
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, jnp.arange(length))
    return jax.vmap(lambda frame: jax.random.normal(frame, (width,)))(keys)
