"""Backward warping of an image or feature map by a flow: the one definition used everywhere.

A pixel (i, j) of the output takes the input's value at row i + height · flow_y and column j +
width · flow_x, counted in pixel centres, interpolated bilinearly or by cubics; positions outside
are clamped to the border. A flow is a displacement in fractions of the frame, so that the same
flow, resized, warps every resolution, and a flow of zeros returns the input bit for bit.
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
    sample = {"gather": _gather, "tent": _tent, "kernel": _kernel}[method]
    return sample(features, *_positions(flow))


def warp_cubic(
    image: Float[Array, "b h w c"],
    flow: Float[Array, "b t h w 2"],
    method: Method = "gather",
) -> Float[Array, "b t h w c"]:
    """`warp` by cubics through the pixels (Catmull-Rom: Keys 1981 with a = -1/2).

    Straight lines halve the finest texture between two pixels; these keep most of it. Beyond the
    border the image's edge is continued. A cubic is the straight line less f(1 - f)/2 times the
    line through the pixels' second differences, f being the way from one pixel to the next, so that
    the sixteen pixels around a place are four of the image and of its differences across, down and
    both: any `method` will do.
    """
    across = _second_difference(image, 2)
    parts = (image, across, _second_difference(image, 1), _second_difference(across, 1))
    lines = warp(jnp.concatenate(parts, axis=-1), flow, method)
    straight, across, down, both = jnp.split(lines, 4, axis=-1)
    x, y = (position % 1 for position in _positions(flow))
    bend_x, bend_y = ((f * (1 - f) / 2)[..., None].astype(image.dtype) for f in (x, y))
    return straight - bend_x * across - bend_y * down + bend_x * bend_y * both


def _positions(
    flow: Float[Array, "b t h w 2"],
) -> tuple[Float[Array, "b t h w"], Float[Array, "b t h w"]]:
    """Column and row in pixels that every pixel is taken from."""
    h, w = flow.shape[2:4]
    flow = flow.astype(jnp.float32)
    x = jnp.arange(w, dtype=jnp.float32)[None, None, None, :] + flow[..., 0] * w
    y = jnp.arange(h, dtype=jnp.float32)[None, None, :, None] + flow[..., 1] * h
    return jnp.clip(x, 0, w - 1), jnp.clip(y, 0, h - 1)


def _second_difference(image: Float[Array, "b h w c"], axis: int) -> Float[Array, "b h w c"]:
    """Of neighbours along an axis, the edge continued."""
    padding = [(0, 0)] * image.ndim
    padding[axis] = (1, 1)
    return jnp.diff(jnp.pad(image, padding, mode="edge"), n=2, axis=axis)


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
