"""Backward warping of an image or feature map by a flow: the one definition used everywhere.

A pixel (i, j) of the output takes the input's value at row i + height · flow_y and column j +
width · flow_x, counted in pixel centres, bilinearly interpolated; positions outside are clamped to
the border. A flow is a displacement in fractions of the frame, so that the same flow, resized,
warps every resolution, and a flow of zeros returns the input bit for bit.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Method = Literal["gather", "tent", "kernel"]


def warp(
    features: Float[Array, "b h w c"],
    flow: Float[Array, "b t h w 2"],
    method: Method = "gather",
) -> Float[Array, "b t h w c"]:
    """Samples features at every pixel displaced by flow (x, y; fractions of the frame).

    One source serves its t flows without being copied. `gather` reads four rows a pixel (fast on a
    CPU); `tent` multiplies by the matrix of bilinear weights, h·w × h·w (fast on a matrix unit
    while the map is small); `kernel` does so on a TPU without ever storing that matrix, and gathers
    elsewhere. All give the same numbers to 1e-5; launch/aot/warps.md compares what they cost.
    """
    h, w = features.shape[1:3]
    flow = flow.astype(jnp.float32)
    x = jnp.arange(w, dtype=jnp.float32)[None, None, None, :] + flow[..., 0] * w
    y = jnp.arange(h, dtype=jnp.float32)[None, None, :, None] + flow[..., 1] * h
    x, y = jnp.clip(x, 0, w - 1), jnp.clip(y, 0, h - 1)
    sample = {"gather": _gather, "tent": _tent, "kernel": _kernel}[method]
    return sample(features, x, y)


def _gather(
    features: Float[Array, "b h w c"], x: Float[Array, "b t h w"], y: Float[Array, "b t h w"]
) -> Float[Array, "b t h w c"]:
    b, h, w, c = features.shape
    rows = features.reshape(b, h * w, c)
    left, top = jnp.floor(x).astype(jnp.int32), jnp.floor(y).astype(jnp.int32)
    right, bottom = jnp.minimum(left + 1, w - 1), jnp.minimum(top + 1, h - 1)
    fx = (x - left)[..., None].astype(features.dtype)
    fy = (y - top)[..., None].astype(features.dtype)

    def read(pixels: jax.Array, index: jax.Array) -> jax.Array:
        # Every index is in bounds by the clips above; saying so spares the checks.
        return pixels.at[index].get(mode="promise_in_bounds")

    def tap(row: jax.Array, column: jax.Array) -> jax.Array:
        # Each picture by itself: from one list of the pixels of all, a device would have to be sent
        # the pictures of all others.
        return jax.vmap(read)(rows, row * w + column)

    above = tap(top, left) * (1 - fx) + tap(top, right) * fx
    below = tap(bottom, left) * (1 - fx) + tap(bottom, right) * fx
    return above * (1 - fy) + below * fy


def _tent(
    features: Float[Array, "b h w c"], x: Float[Array, "b t h w"], y: Float[Array, "b t h w"]
) -> Float[Array, "b t h w c"]:
    b, h, w, c = features.shape
    columns = jnp.arange(w, dtype=jnp.float32)[None, None, None, None, :]
    rows = jnp.arange(h, dtype=jnp.float32)[None, None, None, None, :]
    wx = jnp.maximum(0.0, 1.0 - jnp.abs(x[..., None] - columns))
    wy = jnp.maximum(0.0, 1.0 - jnp.abs(y[..., None] - rows))
    weights = (wy[..., :, None] * wx[..., None, :]).reshape(*x.shape, h * w)
    return jnp.einsum(
        "bthwp,bpc->bthwc",
        weights.astype(features.dtype),
        features.reshape(b, h * w, c),
        precision=jax.lax.Precision.HIGHEST,
    )


def _kernel(
    features: Float[Array, "b h w c"], x: Float[Array, "b t h w"], y: Float[Array, "b t h w"]
) -> Float[Array, "b t h w c"]:
    from facespeak_jax.face.kernels.sample import sample  # Pallas: a while, and for TPUs only

    return sample(_gather, features, x, y)
