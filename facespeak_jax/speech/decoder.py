"""The mel decoder: the velocity that carries noise to a spectrogram, given text and voice."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from facespeak_jax import layers


class ConvBlock(nn.Module):
    """Norm modulated by the condition, two convolutions, residual; (b, t, c) to the same."""

    kernel: int = 3
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t c"],
        valid: Bool[Array, "b t"],
        condition: Float[Array, "b t k"],
        *,
        train: bool = False,
    ) -> Float[Array, "b t c"]:
        width = x.shape[-1]
        y = layers.AdaptiveNorm(dtype=self.dtype, name="norm")(x, condition)
        y = nn.gelu(layers.Conv1d(width, self.kernel, dtype=self.dtype, name="inner")(y, valid))
        y = nn.Dropout(self.dropout)(y, deterministic=not train)
        y = layers.Conv1d(width, self.kernel, dtype=self.dtype, name="outer")(y, valid)
        return layers.hide(x + y, valid)


def fold(x: Float[Array, "b t c"]) -> Float[Array, "b u d"]:
    """Neighbouring pairs of positions side by side: half the length, twice the channels."""
    b, t, c = x.shape
    return x.reshape(b, t // 2, 2 * c)


def unfold(x: Float[Array, "b u d"]) -> Float[Array, "b t c"]:
    """The inverse of `fold`."""
    b, t, c = x.shape
    return x.reshape(b, 2 * t, c // 2)


class MelDecoder(nn.Module):
    """OT-CFM velocity of the normalised log-mel: a U-Net over time with one halving in the middle.

    Convolution blocks work at 100 Hz, `middle` pairs of convolution and transformer blocks at 50
    Hz. Text, flow time and voice code together modulate every norm, frame by frame. Attention
    reaches `window` half-rate positions, so a decoder trained on crops meets nothing new in a long
    sentence. m must be even.
    """

    width: int = 160
    blocks: int = 2  # at full rate, on either side
    middle: int = 2
    heads: int = 2
    window: int = 48
    expand: int = 2
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x_t: Float[Array, "b m k"],
        t: Float[Array, " b"],
        text: Float[Array, "b m c"],
        code: Float[Array, "b v"],
        mel_lengths: Int[Array, " b"],
        *,
        train: bool = False,
    ) -> Float[Array, "b m k"]:
        m, mels = x_t.shape[1:]
        if m % 2:
            raise ValueError(f"the mel decoder needs an even number of frames, not {m}")
        valid = layers.mask(mel_lengths, m)
        half = layers.mask((mel_lengths + 1) // 2, m // 2)
        text = layers.hide(text, valid)
        condition = self._condition(t, text, code)
        coarse = self._dense("condition_fold")(fold(layers.hide(condition, valid)))

        x = self._dense("enter")(jnp.concatenate([layers.hide(x_t, valid), text], axis=-1))
        for index in range(self.blocks):
            x = self._conv(f"down_{index}")(x, valid, condition, train=train)
        skip = x
        y = self._dense("fold")(fold(layers.hide(x, valid)))
        for index in range(self.middle):
            y = self._conv(f"middle_conv_{index}")(y, half, coarse, train=train)
            y = self._transformer(f"middle_{index}")(y, half, coarse, train=train)
        y = unfold(nn.Dense(2 * self.width, dtype=self.dtype, name="unfold")(y))
        x = self._dense("join")(jnp.concatenate([skip, y], axis=-1))
        for index in range(self.blocks):
            x = self._conv(f"up_{index}")(x, valid, condition, train=train)
        x = layers.AdaptiveNorm(dtype=self.dtype, name="norm")(x, condition).astype(jnp.float32)
        velocity = nn.Dense(mels, kernel_init=nn.initializers.zeros, name="exit")(x)
        return layers.hide(velocity, valid)

    def _condition(
        self, t: Float[Array, " b"], text: Float[Array, "b m c"], code: Float[Array, "b v"]
    ) -> Float[Array, "b m {self.width}"]:
        whole = layers.TimeEmbedding(self.width, dtype=self.dtype, name="time")(t)
        whole = whole + self._dense("voice")(code)
        return whole[:, None, :] + self._dense("text")(text)

    def _dense(self, name: str) -> nn.Dense:
        return nn.Dense(self.width, dtype=self.dtype, name=name)

    def _conv(self, name: str) -> ConvBlock:
        return ConvBlock(dropout=self.dropout, dtype=self.dtype, name=name)

    def _transformer(self, name: str) -> layers.TransformerBlock:
        return layers.TransformerBlock(
            self.heads, self.window, self.expand, dropout=self.dropout, dtype=self.dtype, name=name
        )
