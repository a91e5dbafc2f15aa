"""The noise reducer: a temporal auto-encoder through whose narrow middle only smooth head motion
passes.

The motion sampler would copy the jitter of per-frame coefficients if it were trained on them. It is
trained on the standardised code of this auto-encoder instead, and what it samples is decoded back
(paper, motion normaliser: L_AE is a mean squared error; depth and width are this project's choice).
Most of what does not pass the middle stays as it is for as long as a clip lasts: the decoder takes
that from the portrait's alpha_head, which cannot jitter.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from facespeak_jax import layers

STATISTIC_RATE = (
    10.0  # statistics are stored divided by this: Adam moves every parameter equally far a step
)


class Standardiser(nn.Module):
    """Per-channel mean and deviation kept as parameters and fitted by maximum likelihood."""

    features: int

    def setup(self) -> None:
        zeros = nn.initializers.zeros
        self.centre = self.param("centre", zeros, (self.features,))
        self.log_deviation = self.param("log_deviation", zeros, (self.features,))

    def _moments(self) -> tuple[Float[Array, "1 1 c"], Float[Array, "1 1 c"]]:
        centre, log_deviation = STATISTIC_RATE * self.centre, STATISTIC_RATE * self.log_deviation
        return centre[None, None, :], jnp.exp(log_deviation)[None, None, :]

    def standardise(self, x: Float[Array, "b t c"]) -> Float[Array, "b t c"]:
        """x with mean 0 and deviation 1 in every channel."""
        centre, deviation = jax.lax.stop_gradient(self._moments())
        return (x - centre) / deviation

    def restore(self, z: Float[Array, "b t c"]) -> Float[Array, "b t c"]:
        """The inverse of `standardise`."""
        centre, deviation = jax.lax.stop_gradient(self._moments())
        return z * deviation + centre

    def surprise(self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, ""]:
        """Gaussian negative log-likelihood of x; its gradient reaches the statistics only."""
        centre, deviation = self._moments()
        z = (jax.lax.stop_gradient(x) - centre) / deviation
        return layers.masked_mean(0.5 * jnp.square(z) + jnp.log(deviation), valid)


def low_pass(x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, "b t c"]:
    """x smoothed in time by (1, 2, 1)/4, with the weights at either end shared among the frames
    that exist."""

    def smooth(y: Float[Array, "b t k"]) -> Float[Array, "b t k"]:
        padded = jnp.pad(y, ((0, 0), (1, 1), (0, 0)))
        return 0.25 * (padded[:, :-2] + 2.0 * y + padded[:, 2:])

    weight = smooth(valid[:, :, None].astype(x.dtype))
    return layers.hide(smooth(layers.hide(x, valid)) / jnp.maximum(weight, 0.25), valid)


class Stack(nn.Module):
    """A linear layer in, residual blocks, a linear layer out: (b, t, c), and what stays the same at
    every t, (b, k), to (b, t, features)."""

    features: int
    width: int
    depth: int
    kernel: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t c"],
        valid: Bool[Array, "b t"],
        still: Float[Array, "b k"] | None = None,
    ) -> Float[Array, "b t {self.features}"]:
        x = nn.Dense(self.width, dtype=self.dtype, name="enter")(layers.hide(x, valid))
        if still is not None:
            x = x + nn.Dense(self.width, dtype=self.dtype, name="still")(still)[:, None, :]
        for index in range(self.depth):
            block = layers.ConvNeXtBlock(
                2, self.kernel, scale=0.1, dtype=self.dtype, name=f"block_{index}"
            )
            x = block(x, valid)
        return nn.Dense(self.features, name="leave")(x.astype(jnp.float32))


class Reduced(NamedTuple):
    """What training the reducer needs."""

    code: Float[Array, "b t d"]  # f_c, standardised
    alpha: Float[Array, "b t a"]  # alpha_head again
    surprise: Float[Array, ""]  # fits the stored statistics when minimised


class NoiseReducer(nn.Module):
    """alpha_head (b, t, head) -> f_c (b, t, latent), mean 0 and deviation 1 a channel, which with
    the alpha_head of a portrait (b, head) -> alpha_head.

    Every array is at 25 frames a second; positions beyond `lengths` come back as zeros. A `plain`
    one reduces nothing: its code is the standardised alpha_head, and latent must be head.
    """

    head: int = 16
    latent: int = 6
    width: int = 64
    depth: int = 2
    kernel: int = 7
    plain: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.alpha_scale = Standardiser(self.head)
        if self.plain:
            if self.latent != self.head:
                raise ValueError(f"a plain reducer of {self.head} has no code of {self.latent}")
            return
        self.code_scale = Standardiser(self.latent)
        self.encoder = Stack(self.latent, self.width, self.depth, self.kernel, self.dtype)
        self.decoder = Stack(self.head, self.width, self.depth, self.kernel, self.dtype)

    def _code(
        self, alpha_head: Float[Array, "b t {self.head}"], valid: Bool[Array, "b t"]
    ) -> Float[Array, "b t {self.latent}"]:
        return low_pass(self.encoder(self.alpha_scale.standardise(alpha_head), valid), valid)

    def encode(
        self, alpha_head: Float[Array, "b t {self.head}"], lengths: Int[Array, " b"]
    ) -> Float[Array, "b t {self.latent}"]:
        """The standardised code f_c of a sequence of head coefficients."""
        valid = layers.mask(lengths, alpha_head.shape[1])
        if self.plain:
            return layers.hide(self.alpha_scale.standardise(alpha_head), valid)
        return layers.hide(self.code_scale.standardise(self._code(alpha_head, valid)), valid)

    def decode(
        self,
        code: Float[Array, "b t {self.latent}"],
        source: Float[Array, "b {self.head}"],
        lengths: Int[Array, " b"],
    ) -> Float[Array, "b t {self.head}"]:
        """The head coefficients of a standardised code, of a person whom a portrait with those of
        `source` shows."""
        valid = layers.mask(lengths, code.shape[1])
        if self.plain:
            return layers.hide(self.alpha_scale.restore(code), valid)
        still = self.alpha_scale.standardise(source[:, None])[:, 0]
        alpha = self.decoder(self.code_scale.restore(code), valid, still)
        return layers.hide(self.alpha_scale.restore(alpha), valid)

    def __call__(
        self,
        alpha_head: Float[Array, "b t {self.head}"],
        source: Float[Array, "b {self.head}"],
        lengths: Int[Array, " b"],
    ) -> Reduced:
        """Both directions at once, and the term that fits the statistics."""
        valid = layers.mask(lengths, alpha_head.shape[1])
        if self.plain:
            code = self.encode(alpha_head, lengths)
            surprise = self.alpha_scale.surprise(alpha_head, valid)
            return Reduced(code, self.decode(code, source, lengths), surprise)
        raw = self._code(alpha_head, valid)
        code = layers.hide(self.code_scale.standardise(raw), valid)
        surprise = self.alpha_scale.surprise(alpha_head, valid) + self.code_scale.surprise(
            raw, valid
        )
        return Reduced(code, self.decode(code, source, lengths), surprise)
