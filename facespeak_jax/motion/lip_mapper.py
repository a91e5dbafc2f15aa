"""Text to lips: multi-receptive-field convolutions over the upsampled text at 100 Hz, pooled to 25
Hz.

The text that drives the voice drives the mouth, so no audio has to be understood again. Inputs are
the paper's (text embedding, upsampled text feature, mean energy); kernels and dilations are
HiFi-GAN V1's, with each convolution split into a depthwise and a pointwise one for speed.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from facespeak_jax import layers, rates


def energy(mel: Float[Array, "b m k"]) -> Float[Array, "b m"]:
    """Loudness of each mel frame: the mean of its normalised log-mel bins."""
    return jnp.mean(mel, axis=-1)


class DilatedBranch(nn.Module):
    """Residual depthwise-separable convolutions of one kernel and growing dilation."""

    kernel: int
    dilations: tuple[int, ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b m c"], valid: Bool[Array, "b m"]
    ) -> Float[Array, "b m c"]:
        for dilation in self.dilations:
            y = layers.DepthwiseConv1d(self.kernel, dilation, self.dtype, name=f"time_{dilation}")(
                nn.silu(x), valid
            )
            x = x + nn.Dense(x.shape[-1], dtype=self.dtype, name=f"mix_{dilation}")(y)
        return x


class MultiReceptiveField(nn.Module):
    """The mean of parallel branches of different kernels (Kong et al. 2020, "HiFi-GAN")."""

    kernels: tuple[int, ...]
    dilations: tuple[int, ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b m c"], valid: Bool[Array, "b m"]
    ) -> Float[Array, "b m c"]:
        x = nn.LayerNorm(dtype=self.dtype, name="norm")(x)
        branches = [
            DilatedBranch(kernel, self.dilations, self.dtype, name=f"kernel_{kernel}")(x, valid)
            for kernel in self.kernels
        ]
        return layers.hide(jnp.mean(jnp.stack(branches), axis=0), valid)


class LipMapper(nn.Module):
    """Upsampled text f~ (b, m, c), mel prior (b, m, 80) and energy (b, m) -> alpha_lip (b, m/4,
    lip).

    `source` is alpha_lip of the portrait: a mouth is a person's own in it, at rest too, and lips
    must fit the one that the portrait has. `lengths` counts video frames, four mel frames each; m
    must be a multiple of four. Frames beyond `lengths` come back as zeros. Raises ValueError for an
    m that is not whole video frames.
    """

    lip: int = 8
    width: int = 128
    stages: int = 2
    kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)
    dropout: float = 0.1
    dtype: Any = jnp.float32

    @property
    def reach(self) -> int:
        """Mel frames to either side, beyond its own four, that a video frame's lips depend on."""
        return self.stages * (max(self.kernels) // 2) * sum(self.dilations)

    @nn.compact
    def __call__(
        self,
        text: Float[Array, "b m c"],
        prior: Float[Array, "b m k"],
        loudness: Float[Array, "b m"],
        source: Float[Array, "b {self.lip}"],
        lengths: Int[Array, " b"],
        *,
        train: bool = False,
    ) -> Float[Array, "b t {self.lip}"]:
        b, m, _ = text.shape
        if m % rates.MELS_PER_FRAME:
            raise ValueError(f"{m} mel frames are not a whole number of video frames")
        valid = layers.mask(rates.MELS_PER_FRAME * lengths, m)
        x = layers.hide(jnp.concatenate([text, prior, loudness[:, :, None]], axis=-1), valid)
        x = nn.Dense(self.width, dtype=self.dtype, name="enter")(x)
        x = x + nn.Dense(self.width, dtype=self.dtype, name="source")(source)[:, None, :]
        x = nn.Dropout(self.dropout)(x, deterministic=not train)
        for stage in range(self.stages):
            x = MultiReceptiveField(
                tuple(self.kernels), tuple(self.dilations), self.dtype, name=f"field_{stage}"
            )(x, valid)
        frames = m // rates.MELS_PER_FRAME
        x = x.reshape(b, frames, rates.MELS_PER_FRAME * self.width)
        x = nn.silu(nn.Dense(self.width, dtype=self.dtype, name="pool")(x))
        x = nn.Dropout(self.dropout)(x, deterministic=not train)
        alpha = nn.Dense(self.lip, name="leave")(x.astype(jnp.float32))
        return layers.hide(alpha, layers.mask(lengths, frames))
