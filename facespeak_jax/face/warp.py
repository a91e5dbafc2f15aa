"""Backward warping of an image or feature map by a flow: the one definition used everywhere.

A pixel (i, j) of the output takes the input's value at row i + height · flow_y and column j +
width · flow_x, counted in pixel centres, interpolated bilinearly or by a cubic spline; positions
outside are clamped to the border. A flow is a displacement in fractions of the frame, so that the
same flow, resized, warps every resolution, and a flow of zeros returns the input bit for bit.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
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
    return _SAMPLERS[method](features, *_positions(flow))


def warp_by_spline(
    image: Float[Array, "b h w c"],
    flow: Float[Array, "b t h w 2"],
    method: Method = "gather",
) -> Float[Array, "b t h w c"]:
    """`warp` by the cubic spline through the pixels (Unser 1999): straight lines take the finest
    texture from whatever moves by a fraction of a pixel. Beyond the border the edge is continued.

    Between two pixels p, f of the way from one to the other, a spline of second derivatives m is
    (1 - f) p₀ + f p₁ - f(1 - f)/6 · ((2 - f) m₀ + (1 + f) m₁): a line through p at f, less
    f(1 - f)/2 times a line through m at (1 + f)/3. So its sixteen pixels are bilinear samples, by
    any `method`, of the image and of its second derivatives across, down and both.
    """
    h, w = image.shape[1:3]
    x, y = _positions(flow)
    bend_x, bent_x = _bend(x, w)
    bend_y, bent_y = _bend(y, h)
    across = _second_derivative(image, "wv,bhvc->bhwc", w)
    down, both = (_second_derivative(of, "hg,bgwc->bhwc", h) for of in (image, across))
    sample = _SAMPLERS[method]
    return (
        sample(image, x, y)
        - bend_x * sample(across, bent_x, y)
        - bend_y * sample(down, x, bent_y)
        + bend_x * bend_y * sample(both, bent_x, bent_y)
    )


def _bend(
    position: Float[Array, "b t h w"], size: int
) -> tuple[Float[Array, "b t h w 1"], Float[Array, "b t h w"]]:
    """How much of a second derivative bends the line, and the position it is taken at."""
    pixel = jnp.floor(position)
    f = position - pixel
    return (f * (1 - f) / 2)[..., None], jnp.minimum(pixel + (1 + f) / 3, size - 1)


def _second_derivative(
    image: Float[Array, "b h w c"], along: str, size: int
) -> Float[Array, "b h w c"]:
    """That of the cubic spline through the pixels p along an axis: m + Dm/6 = Dp, where D is the
    second difference."""
    difference = np.diff(np.pad(np.eye(size), [(1, 1), (0, 0)], mode="edge"), n=2, axis=0)
    solved = np.linalg.solve(np.eye(size) + difference / 6, difference)
    matrix = jnp.asarray(solved, image.dtype)
    return jnp.einsum(along, matrix, image, precision=jax.lax.Precision.HIGHEST)


def _positions(
    flow: Float[Array, "b t h w 2"],
) -> tuple[Float[Array, "b t h w"], Float[Array, "b t h w"]]:
    """Column and row in pixels that every pixel is taken from."""
    h, w = flow.shape[2:4]
    flow = flow.astype(jnp.float32)
    x = jnp.arange(w, dtype=jnp.float32)[None, None, None, :] + flow[..., 0] * w
    y = jnp.arange(h, dtype=jnp.float32)[None, None, :, None] + flow[..., 1] * h
    return jnp.clip(x, 0, w - 1), jnp.clip(y, 0, h - 1)


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


_SAMPLERS = {"gather": _gather, "tent": _tent, "kernel": _kernel}
