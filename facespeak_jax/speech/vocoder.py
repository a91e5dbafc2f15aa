"""Vocoders: normalised log-mel (b, m, 80) to a wave (b, 160·m)."""

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Complex, Float, Int

from facespeak_jax import layers
from facespeak_jax.rates import HOP
from facespeak_jax.speech import mel as spectra

LOUDEST = 100.0  # no bin of a wave in [-1, 1] needs more magnitude in a usual voice
SLOPE = 0.1


def overlap_add(frames: Float[Array, "b m w"], hop: int) -> Float[Array, "b n"]:
    """Frames `hop` samples apart, summed: n = (m - 1)·hop + w. hop must divide w."""
    b, m, w = frames.shape
    blocks = frames.reshape(b, m, w // hop, hop)
    after = w // hop - 1
    placed = (jnp.pad(blocks[:, :, i], ((0, 0), (i, after - i), (0, 0))) for i in range(after + 1))
    return functools.reduce(jnp.add, placed).reshape(b, (m + after) * hop)


def inverse(spectrum: Complex[Array, "b m f"], valid: Bool[Array, "b m"]) -> Float[Array, "b n"]:
    """The wave (b, 160·m) whose `mel.spectrum` it is, or the nearest in squares; zero past the end.

    Griffin & Lim 1984, Eq. 6, with the window's own overlap as denominator.
    """
    window = spectra.hann(spectra.WINDOW)[None, None, :]
    margin = (spectra.WINDOW - HOP) // 2
    samples = layers.hide(jnp.fft.irfft(spectrum, n=spectra.WINDOW) * window, valid)
    power = layers.hide(jnp.broadcast_to(jnp.square(window), samples.shape), valid)
    wave = overlap_add(samples, HOP)[:, margin:-margin]
    overlap = overlap_add(power, HOP)[:, margin:-margin]
    inside = jnp.repeat(valid, HOP, axis=1)
    return jnp.where(inside, wave / jnp.where(inside, overlap, 1.0), 0.0)


def _everywhere(mel: Float[Array, "b m k"], lengths: Int[Array, " b"] | None) -> Bool[Array, "b m"]:
    return jnp.ones(mel.shape[:2], bool) if lengths is None else layers.mask(lengths, mel.shape[1])


class ISTFTVocoder(nn.Module):
    """ConvNeXt blocks at frame rate, then magnitude and phase of a spectrum, then its inverse.

    Siuzdak 2023, "Vocos". `lengths` in mel frames, all of m by default.
    """

    width: int = 512
    depth: int = 8
    expand: int = 3
    kernel: int = 7
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, mel: Float[Array, "b m k"], lengths: Int[Array, " b"] | None = None
    ) -> Float[Array, "b n"]:
        valid = _everywhere(mel, lengths)
        x = layers.Conv1d(self.width, self.kernel, dtype=self.dtype, name="enter")(mel, valid)
        x = nn.LayerNorm(dtype=self.dtype, name="enter_norm")(x)
        for index in range(self.depth):
            block = layers.ConvNeXtBlock(
                self.expand,
                self.kernel,
                scale=1.0 / self.depth,
                dtype=self.dtype,
                name=f"block_{index}",
            )
            x = block(x, valid)
        x = nn.LayerNorm(dtype=self.dtype, name="exit_norm")(x).astype(jnp.float32)
        x = nn.Dense(spectra.WINDOW + 2, name="exit")(x)
        log_magnitude, phase = jnp.split(x, 2, axis=-1)
        magnitude = jnp.exp(jnp.minimum(log_magnitude, jnp.log(LOUDEST)))
        return inverse(magnitude * (jnp.cos(phase) + 1j * jnp.sin(phase)), valid)


class ResidualStack(nn.Module):
    """Dilated convolutions of one kernel, each followed by a plain one, with residuals."""

    kernel: int
    dilations: tuple[int, ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]
    ) -> Float[Array, "b t c"]:
        for index, dilation in enumerate(self.dilations):
            y = nn.leaky_relu(x, SLOPE)
            for name, spread in (("wide", dilation), ("near", 1)):
                conv = layers.Conv1d(
                    x.shape[-1],
                    self.kernel,
                    dilation=spread,
                    dtype=self.dtype,
                    name=f"{name}_{index}",
                )
                y = conv(nn.leaky_relu(y, SLOPE) if name == "near" else y, valid)
            x = x + y
        return x


class HiFiGAN(nn.Module):
    """Transposed convolutions up to the sample rate, each followed by residual stacks.

    Kong et al. 2020, "HiFi-GAN", generator V1 at this project's rates. `lengths` in mel frames.
    """

    width: int = 512
    rates: tuple[int, ...] = (5, 4, 4, 2)
    kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, mel: Float[Array, "b m k"], lengths: Int[Array, " b"] | None = None
    ) -> Float[Array, "b n"]:
        valid = _everywhere(mel, lengths)
        x = layers.Conv1d(self.width, 7, dtype=self.dtype, name="enter")(mel, valid)
        for level, rate in enumerate(self.rates):
            up = nn.ConvTranspose(
                self.width // 2 ** (level + 1),
                (2 * rate,),
                strides=(rate,),
                dtype=self.dtype,
                name=f"up_{level}",
            )
            x = up(layers.hide(nn.leaky_relu(x, SLOPE), valid))
            valid = jnp.repeat(valid, rate, axis=1)
            stacks = [
                ResidualStack(
                    kernel, tuple(self.dilations), self.dtype, name=f"stack_{level}_{kernel}"
                )
                for kernel in self.kernels
            ]
            x = sum(stack(x, valid) for stack in stacks) / len(stacks)
        exit = layers.Conv1d(1, 7, dtype=self.dtype, name="exit")
        wave = exit(nn.leaky_relu(x, SLOPE), valid)
        return jnp.tanh(layers.hide(wave, valid)[:, :, 0].astype(jnp.float32))
