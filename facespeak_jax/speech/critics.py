"""Critics of waves: what tells a made wave from a recorded one, and the losses of that game."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from facespeak_jax.speech import mel as spectra

SLOPE = 0.1
QUIET = 1e-2  # added to magnitudes before their logarithm: bounds its slope in silence


class Judgement(NamedTuple):
    """One critic's opinion: logits (recorded > made) and the features behind them, any shapes."""

    logits: Float[Array, "..."]
    features: tuple[Float[Array, "..."], ...]


class PeriodCritic(nn.Module):
    """Looks at every `period`-th sample: (b, n) folded to `period` short sequences."""

    period: int
    widths: Sequence[int]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, wave: Float[Array, "b n"]) -> Judgement:
        b, n = wave.shape
        padded = jnp.pad(wave, ((0, 0), (0, -n % self.period)), mode="reflect")
        x = padded.reshape(b, -1, self.period).transpose(0, 2, 1).reshape(b * self.period, -1, 1)
        features = []
        for index, width in enumerate(self.widths):
            stride = 3 if index < len(self.widths) - 1 else 1
            conv = nn.Conv(width, (5,), (stride,), [(2, 2)], dtype=self.dtype, name=f"conv_{index}")
            x = nn.leaky_relu(conv(x), SLOPE)
            features.append(x)
        logits = nn.Conv(1, (3,), padding=[(1, 1)], dtype=self.dtype, name="exit")(x)
        return Judgement(logits, tuple(features))


class MultiPeriodCritic(nn.Module):
    """One critic a period, a judgement each (Kong et al. 2020, "HiFi-GAN")."""

    periods: Sequence[int] = (2, 3, 5, 7, 11)
    widths: Sequence[int] = (32, 128, 512, 1024, 1024)
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, wave: Float[Array, "b n"]) -> tuple[Judgement, ...]:
        return tuple(
            PeriodCritic(period, tuple(self.widths), self.dtype, name=f"period_{period}")(wave)
            for period in self.periods
        )


class ResolutionCritic(nn.Module):
    """Looks at the log spectrogram of one window, eight neighbouring bins as one position."""

    window: int
    width: int
    depth: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, wave: Float[Array, "b n"]) -> Judgement:
        spectrum = spectra.spectrum(
            wave, window=self.window, hop=self.window // 4, n_fft=self.window
        )
        x = jnp.log(spectra.magnitude(spectrum[:, :, 1:]) + QUIET).astype(self.dtype)
        x = nn.Dense(self.width, dtype=self.dtype, name="patch")(x.reshape(*x.shape[:2], -1, 8))
        place = self.param("place", nn.initializers.normal(0.1), x.shape[2:]).astype(self.dtype)
        x = nn.leaky_relu(x + place[None, None, :, :], SLOPE)
        features = [x]
        for index in range(self.depth):
            conv = nn.Conv(
                self.width, (3, 3), (1, 2), [(1, 1), (1, 1)], dtype=self.dtype, name=f"conv_{index}"
            )
            x = nn.leaky_relu(conv(x), SLOPE)
            features.append(x)
        logits = nn.Conv(1, (3, 3), padding=[(1, 1), (1, 1)], dtype=self.dtype, name="exit")(x)
        return Judgement(logits, tuple(features))


class MultiResolutionCritic(nn.Module):
    """One critic a window length (samples, multiples of 16; a quarter of each must divide n)."""

    windows: Sequence[int] = (320, 640, 1280)
    width: int = 64
    depth: int = 4
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, wave: Float[Array, "b n"]) -> tuple[Judgement, ...]:
        return tuple(
            ResolutionCritic(window, self.width, self.depth, self.dtype, name=f"window_{window}")(
                wave
            )
            for window in self.windows
        )


def critic_loss(recorded: Sequence[Judgement], made: Sequence[Judgement]) -> Float[Array, ""]:
    """Least squares: recorded waves to 1, made ones to 0; the mean over critics.

    Mao et al. 2017, "Least Squares Generative Adversarial Networks".
    """
    losses = [
        jnp.mean(jnp.square(real.logits.astype(jnp.float32) - 1.0))
        + jnp.mean(jnp.square(fake.logits.astype(jnp.float32)))
        for real, fake in zip(recorded, made, strict=True)
    ]
    return sum(losses, start=jnp.zeros(())) / len(losses)


def adversarial_loss(made: Sequence[Judgement]) -> Float[Array, ""]:
    """Least squares: made waves to 1; the mean over critics."""
    losses = [jnp.mean(jnp.square(fake.logits.astype(jnp.float32) - 1.0)) for fake in made]
    return sum(losses, start=jnp.zeros(())) / len(losses)


def feature_loss(recorded: Sequence[Judgement], made: Sequence[Judgement]) -> Float[Array, ""]:
    """Mean absolute difference of features, the mean over layers and critics."""
    pairs = [
        (real, fake)
        for one, other in zip(recorded, made, strict=True)
        for real, fake in zip(one.features, other.features, strict=True)
    ]
    differences = [jnp.mean(jnp.abs(real - fake).astype(jnp.float32)) for real, fake in pairs]
    return sum(differences, start=jnp.zeros(())) / len(differences)
