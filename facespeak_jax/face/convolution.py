"""Convolution blocks of the face networks: resizing by two, residual downsampling, modulation."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def space_to_depth(x: Float[Array, "n h w c"], factor: int) -> Float[Array, "n hp wp cp"]:
    """Moves each factor × factor block of pixels into the channels; h and w must divide by it."""
    n, h, w, c = x.shape
    blocks = x.reshape(n, h // factor, factor, w // factor, factor, c)
    return blocks.transpose(0, 1, 3, 2, 4, 5).reshape(n, h // factor, w // factor, factor**2 * c)


def depth_to_planes(x: Float[Array, "n h w cp"], factor: int) -> Float[Array, "n c hf wf"]:
    """The inverse of `space_to_depth`, with the channels before the pixels.

    Pictures have few channels: side by side their pixels fill a register, their channels do not.
    """
    n, h, w, channels = x.shape
    c = channels // factor**2
    blocks = x.reshape(n, h, w, factor, factor, c)

    def moved(blocks: jax.Array) -> jax.Array:
        return blocks.transpose(0, 5, 1, 3, 2, 4).reshape(n, c, h * factor, w * factor)

    def multiplied(blocks: jax.Array) -> jax.Array:
        # Neighbours along a register's lanes are far apart before: a TPU sorts them by a product.
        place = jnp.eye(w * factor, dtype=x.dtype).reshape(w, factor, w * factor)
        planes = jnp.einsum("nhwijc,wjv->nchiv", blocks, place, precision=_exact(x))
        return planes.reshape(n, c, h * factor, w * factor)

    return jax.lax.platform_dependent(blocks, tpu=multiplied, default=moved)


def halve(x: Float[Array, "n h w c"]) -> Float[Array, "n hh ww c"]:
    """Mean of each 2 × 2 block: a downsampling that cannot alias with the later stride.

    A TPU multiplies faster than it moves neighbours to where they can be added: there it is a
    convolution that leaves every channel to itself.
    """

    def averaged(x: jax.Array) -> jax.Array:
        n, h, w, c = x.shape
        return x.reshape(n, h // 2, 2, w // 2, 2, c).mean(axis=(2, 4))

    def multiplied(x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        kernel = jnp.broadcast_to(jnp.eye(channels, dtype=x.dtype) / 4, (2, 2, channels, channels))
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(2, 2),
            padding="VALID",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=_exact(x),
        )

    return jax.lax.platform_dependent(x, tpu=multiplied, default=averaged)


def double(x: Float[Array, "..."], axes: tuple[int, int] = (1, 2)) -> Float[Array, "..."]:
    """Bilinear upsampling of two axes by two in the pixel-centre convention, edges clamped.

    The same numbers as `jax.image.resize(..., "bilinear")`. Written as shifted sums, which is
    several times faster on a CPU than products with the matrix of the weights; but a TPU is slow to
    interleave them, and fast at products.
    """

    def shifted(x: jax.Array) -> jax.Array:
        return _interleaved(_interleaved(x, axes[0]), axes[1])

    def multiplied(x: jax.Array) -> jax.Array:
        return _stretched(_stretched(x, axes[0]), axes[1])

    return jax.lax.platform_dependent(x, tpu=multiplied, default=shifted)


def _interleaved(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    size = x.shape[axis]
    first = jax.lax.slice_in_dim(x, 0, 1, axis=axis)
    last = jax.lax.slice_in_dim(x, size - 1, size, axis=axis)
    before = jnp.concatenate([first, jax.lax.slice_in_dim(x, 0, size - 1, axis=axis)], axis)
    after = jnp.concatenate([jax.lax.slice_in_dim(x, 1, size, axis=axis), last], axis)
    pair = jnp.stack([0.25 * before + 0.75 * x, 0.75 * x + 0.25 * after], axis=axis + 1)
    return pair.reshape(*x.shape[:axis], 2 * size, *x.shape[axis + 1 :])


def _stretched(x: Float[Array, "..."], axis: int) -> Float[Array, "..."]:
    weights = _interleaved(jnp.eye(x.shape[axis], dtype=x.dtype), 0)
    long = jnp.tensordot(weights, x, (1, axis), precision=_exact(x))
    return jnp.moveaxis(long, 0, axis)


def _exact(x: Array) -> jax.lax.Precision | None:
    """So that a product on a TPU does not round float32; bfloat16 it does not."""
    return jax.lax.Precision.HIGHEST if x.dtype == jnp.float32 else None


def activation(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Leaky ReLU of slope 0.2 with the gain √2 that keeps the variance of a normal input."""
    return nn.leaky_relu(x, 0.2) * 2**0.5


class ResidualDown(nn.Module):
    """Residual block that halves the resolution: (n, h, w, c) → (n, h/2, w/2, width)."""

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n hh ww {self.width}"]:
        y = nn.Conv(x.shape[-1], (3, 3), dtype=self.dtype, name="first")(x)
        y = nn.Conv(self.width, (3, 3), dtype=self.dtype, name="second")(halve(activation(y)))
        skip = nn.Conv(self.width, (1, 1), use_bias=False, dtype=self.dtype, name="skip")(halve(x))
        return (activation(y) + skip) / 2**0.5


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by a style, one style per image of the batch.

    Scaling the input, convolving once with the shared kernel and scaling the output is equal to
    convolving each image with its own modulated and demodulated kernel (StyleGAN2, Karras et al.
    2020, equations 1 and 3), without a kernel per image. No activation.
    """

    width: int  # output channels
    kernel: int = 3
    demodulate: bool = True  # divide by the norm of the modulated kernel
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], style: Float[Array, "n s"]
    ) -> Float[Array, "n h w {self.width}"]:
        channels = x.shape[-1]
        scale = nn.Dense(
            channels,
            bias_init=nn.initializers.ones,
            name="scale",
        )(style)
        shape = (self.kernel, self.kernel, channels, self.width)
        kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        x = x.astype(self.dtype) * scale[:, None, None, :].astype(self.dtype)
        y = jax.lax.conv_general_dilated(
            x,
            kernel.astype(self.dtype),
            window_strides=(1, 1),
            padding="SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        if self.demodulate:
            power = jnp.einsum("nc,co->no", scale**2, jnp.square(kernel).sum(axis=(0, 1)))
            y = y * jax.lax.rsqrt(power + 1e-8)[:, None, None, :].astype(self.dtype)
        return y + bias.astype(self.dtype)[None, None, None, :]
