"""Blocks every part is built from: time sequences (b, t, c) that may end in padding.

One rule holds throughout: what lies behind the end of a sequence never changes what lies before it.
Convolutions see zeros there, attention gives it no weight, norms leave it out of their statistics.
`valid` is always the boolean (b, t) array that `mask` makes from lengths.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

ROTARY_BASE = 10_000.0
TIME_SCALE = 1000.0  # flow time in [0, 1] is stretched to the range sinusoids were designed for


def mask(lengths: Int[Array, " b"], n: int) -> Bool[Array, "b {n}"]:
    """True where a position of a sequence padded to `n` belongs to it."""
    return jnp.arange(n)[None, :] < lengths[:, None]


def hide(x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, "b t c"]:
    """x with zeros (of either sign of garbage, NaN included) in place of padding."""
    return jnp.where(valid[:, :, None], x, jnp.zeros((), x.dtype))


def masked_mean(x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, ""]:
    """Mean over every valid position and channel of the batch; 0 where nothing is valid."""
    count = jnp.sum(valid) * x.shape[-1]
    return jnp.sum(hide(x, valid).astype(jnp.float32)) / jnp.maximum(count, 1)


class Conv1d(nn.Module):
    """Convolution in time over a masked input; ceil(t / stride) positions out."""

    features: int
    kernel: int = 3
    stride: int = 1
    dilation: int = 1
    kernel_init: Any = nn.initializers.lecun_normal()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]
    ) -> Float[Array, "b u o"]:
        reach = self.dilation * (self.kernel - 1)
        convolution = nn.Conv(
            self.features,
            (self.kernel,),
            strides=(self.stride,),
            padding=[(reach // 2, reach - reach // 2)],  # never from the length, as SAME would
            kernel_dilation=(self.dilation,),
            kernel_init=self.kernel_init,
            dtype=self.dtype,
            name="conv",
        )
        return convolution(hide(x, valid))


class DepthwiseConv1d(nn.Module):
    """One filter a channel, written as shifted multiply-adds.

    XLA's grouped convolution on CPU takes eight times as long for the same numbers.
    """

    kernel: int = 7
    dilation: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]
    ) -> Float[Array, "b t c"]:
        length, width = x.shape[1:]
        per_tap = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
        kernel = self.param("kernel", per_tap, (self.kernel, width)).astype(self.dtype)
        bias = self.param("bias", nn.initializers.zeros, (width,)).astype(self.dtype)
        reach = self.dilation * (self.kernel - 1)
        padded = jnp.pad(
            hide(x, valid).astype(self.dtype), ((0, 0), (reach // 2, reach - reach // 2), (0, 0))
        )
        out = jnp.broadcast_to(bias[None, None, :], x.shape)
        for tap in range(self.kernel):
            start = tap * self.dilation
            out = out + padded[:, start : start + length] * kernel[tap][None, None, :]
        return out


class GroupNorm(nn.Module):
    """Group normalisation over time and the channels of a group, of the valid positions only."""

    groups: int = 8
    epsilon: float = 1e-5
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]
    ) -> Float[Array, "b t c"]:
        b, t, c = x.shape
        if c % self.groups:
            raise ValueError(f"{c} channels cannot be divided into {self.groups} groups")
        grouped = hide(x, valid).astype(jnp.float32).reshape(b, t, self.groups, c // self.groups)
        count = jnp.maximum(jnp.sum(valid, axis=1), 1).astype(jnp.float32) * (c // self.groups)
        count = count[:, None, None, None]
        mean = jnp.sum(grouped, axis=(1, 3), keepdims=True) / count
        centred = jnp.where(valid[:, :, None, None], grouped - mean, 0.0)
        variance = jnp.sum(jnp.square(centred), axis=(1, 3), keepdims=True) / count
        normal = (centred * jax.lax.rsqrt(variance + self.epsilon)).reshape(b, t, c)
        scale = self.param("scale", nn.initializers.ones, (c,))
        bias = self.param("bias", nn.initializers.zeros, (c,))
        return hide(normal * scale[None, None, :] + bias[None, None, :], valid).astype(self.dtype)


class Modulation(nn.Module):
    """`parts` arrays of `width` channels out of a condition, zero at the start of training.

    The condition is one vector a sequence (b, k) or one a position (b, t, k); the parts come back
    with a time axis of length 1 or t. It is the adaLN-zero of Peebles & Xie 2022, "Scalable
    Diffusion Models with Transformers".
    """

    width: int
    parts: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, condition: Float[Array, "b *t k"]
    ) -> tuple[Float[Array, "b u {self.width}"], ...]:
        zeros = nn.initializers.zeros
        out = nn.Dense(self.parts * self.width, kernel_init=zeros, dtype=self.dtype, name="parts")(
            nn.silu(condition)
        )
        if out.ndim == 2:
            out = out[:, None, :]
        return tuple(jnp.split(out, self.parts, axis=-1))


def modulate(
    x: Float[Array, "b t c"], shift: Float[Array, "b u c"], scale: Float[Array, "b u c"]
) -> Float[Array, "b t c"]:
    """x · (1 + scale) + shift, where the two have one position a sequence or one a position."""
    return x * (1.0 + scale) + shift


class AdaptiveNorm(nn.Module):
    """Layer norm over channels; scale and shift come from a condition where there is one."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], condition: Float[Array, "b *u k"] | None = None
    ) -> Float[Array, "b t c"]:
        plain = condition is None
        normal = nn.LayerNorm(use_bias=plain, use_scale=plain, dtype=self.dtype, name="norm")(x)
        if plain:
            return normal
        return modulate(
            normal, *Modulation(x.shape[-1], 2, dtype=self.dtype, name="modulation")(condition)
        )


def timestep_embedding(t: Float[Array, " b"], width: int) -> Float[Array, "b {width}"]:
    """Sines and cosines of a flow time in [0, 1] at `width`/2 geometric frequencies."""
    half = width // 2
    frequencies = jnp.exp(-jnp.log(ROTARY_BASE) * jnp.arange(half, dtype=jnp.float32) / half)
    angle = TIME_SCALE * t.astype(jnp.float32)[:, None] * frequencies[None, :]
    return jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], axis=-1)


class TimeEmbedding(nn.Module):
    """A flow time as a vector of `width` channels: sinusoids and a two-layer network."""

    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, t: Float[Array, " b"]) -> Float[Array, "b {self.width}"]:
        x = nn.Dense(self.width, dtype=self.dtype, name="inner")(timestep_embedding(t, self.width))
        return nn.Dense(self.width, dtype=self.dtype, name="outer")(nn.silu(x))


def rotary(x: Float[Array, "b t h d"]) -> Float[Array, "b t h d"]:
    """x with each pair of channels turned by an angle that grows with the position.

    A product of two rotated vectors depends on their distance only (Su et al. 2021, "RoFormer").
    """
    t, d = x.shape[1], x.shape[3]
    frequencies = ROTARY_BASE ** (-jnp.arange(0, d, 2, dtype=jnp.float32) / d)
    angle = jnp.arange(t, dtype=jnp.float32)[:, None] * frequencies[None, :]
    cos, sin = jnp.cos(angle)[None, :, None, :], jnp.sin(angle)[None, :, None, :]
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)
    return turned.astype(x.dtype)


def visible(valid: Bool[Array, "b t"], window: int | None) -> Bool[Array, "b t t"]:
    """Which keys (last axis) a query sees: valid ones, at most `window` away, and always itself.

    Itself, so that the softmax of a padded query has something to normalise.
    """
    position = jnp.arange(valid.shape[1])
    distance = jnp.abs(position[:, None] - position[None, :])
    seen = jnp.broadcast_to(valid[:, None, :], (*valid.shape, valid.shape[1]))
    if window is not None:
        seen = seen & (distance <= window)[None, :, :]
    return seen | (distance == 0)[None, :, :]


class Attention(nn.Module):
    """Self-attention with rotary positions over `window` positions to either side, or over all."""

    heads: int = 2
    window: int | None = None
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"], *, train: bool = False
    ) -> Float[Array, "b t c"]:
        width = x.shape[-1]
        if width % (2 * self.heads):
            raise ValueError(f"width {width} is not a multiple of twice the {self.heads} heads")
        head = width // self.heads
        query, key, value = (
            nn.DenseGeneral((self.heads, head), dtype=self.dtype, name=name)(hide(x, valid))
            for name in ("query", "key", "value")
        )
        score = jnp.einsum("bqhd,bkhd->bhqk", rotary(query), rotary(key)) / jnp.sqrt(float(head))
        seen = visible(valid, self.window)[:, None, :, :]
        weight = jax.nn.softmax(jnp.where(seen, score.astype(jnp.float32), -jnp.inf), axis=-1)
        weight = nn.Dropout(self.dropout)(weight.astype(self.dtype), deterministic=not train)
        mixed = jnp.einsum("bhqk,bkhd->bqhd", weight, value)
        return nn.DenseGeneral(width, axis=(-2, -1), dtype=self.dtype, name="out")(mixed)


class FeedForward(nn.Module):
    """A convolution of `kernel` positions to `expand` times the width, and one of 1 back."""

    expand: int = 4
    kernel: int = 1
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"], *, train: bool = False
    ) -> Float[Array, "b t c"]:
        width = x.shape[-1]
        y = Conv1d(self.expand * width, self.kernel, dtype=self.dtype, name="inner")(x, valid)
        y = nn.Dropout(self.dropout)(nn.gelu(y), deterministic=not train)
        return nn.Dense(width, dtype=self.dtype, name="outer")(y)


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward, (b, t, c); a condition modulates both (adaLN-zero)."""

    heads: int = 2
    window: int | None = None
    expand: int = 4
    kernel: int = 1
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t c"],
        valid: Bool[Array, "b t"],
        condition: Float[Array, "b *u k"] | None = None,
        *,
        train: bool = False,
    ) -> Float[Array, "b t c"]:
        attention = Attention(
            self.heads, self.window, self.dropout, dtype=self.dtype, name="attention"
        )
        forward = FeedForward(
            self.expand, self.kernel, self.dropout, dtype=self.dtype, name="forward"
        )
        for name, branch in (("attention", attention), ("forward", forward)):
            y = AdaptiveNorm(dtype=self.dtype, name=f"{name}_norm")(x, condition)
            y = branch(y, valid, train=train)
            y = nn.Dropout(self.dropout)(y, deterministic=not train)
            if condition is not None:
                gate = Modulation(x.shape[-1], 1, dtype=self.dtype, name=f"{name}_gate")
                y = y * gate(condition)[0]
            x = x + y
        return hide(x, valid)


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution, norm, two position-wise layers, residual (b, t, c).

    Liu et al. 2022, "A ConvNet for the 2020s", in time. `scale` is the start value of the residual
    branch's gain per channel.
    """

    expand: int = 3
    kernel: int = 7
    dilation: int = 1
    scale: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t c"],
        valid: Bool[Array, "b t"],
        condition: Float[Array, "b *u k"] | None = None,
    ) -> Float[Array, "b t c"]:
        width = x.shape[-1]
        y = DepthwiseConv1d(self.kernel, self.dilation, dtype=self.dtype, name="depthwise")(
            x, valid
        )
        y = AdaptiveNorm(dtype=self.dtype, name="norm")(y, condition)
        y = nn.gelu(nn.Dense(self.expand * width, dtype=self.dtype, name="inner")(y))
        y = nn.Dense(width, dtype=self.dtype, name="outer")(y)
        gain = self.param("gain", nn.initializers.constant(self.scale), (width,)).astype(self.dtype)
        return hide(x + y * gain[None, None, :], valid)
