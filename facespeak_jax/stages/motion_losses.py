"""The parts of the motion stage and their losses, which the joint stage shares.

The reducer learns by its squared error, the prior by the Gaussian likelihood around mu, the vector
field by flow matching from N(mu, I), the lip mapper by the encoder's alpha_lip and its differences
from frame to frame.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from facespeak_jax import flow, layers, model
from facespeak_jax.data.examples.motion import HISTORY
from facespeak_jax.motion import hearing, sampler
from facespeak_jax.motion.lip_mapper import energy
from facespeak_jax.stages.stage import Metrics

TRAINED = ("reducer", "motion_prior", "motion_field", "lip_mapper")


class TextFeatures(NamedTuple):
    """What the text says about a stretch of M mel frames."""

    features: Float[Array, "b m c"]
    prior: Float[Array, "b m 80"]


class MotionModules:
    """The four parts and their losses; `config` is the whole config of a stage."""

    def __init__(self, config: Any):
        dtype = jnp.dtype(config.train.dtype)
        self.loss = config.loss
        self.reducer: Any
        self.prior: Any
        self.field: Any
        self.mapper: Any
        self.reducer, self.prior, self.field, self.mapper = (
            model.part(name, config.model[name].to_dict(), dtype) for name in TRAINED
        )

    def init(
        self,
        key: jax.Array,
        text: TextFeatures,
        alpha: Float[Array, "b p d"],
        source: Float[Array, "b d"],
        lengths: Int[Array, " b"],
    ) -> dict[str, Any]:
        """Parameters of the four parts."""
        keys = jax.random.split(key, 4)
        head, lip = self.reducer.head, self.mapper.lip
        if alpha.shape[-1] != head + lip:
            raise ValueError(f"{alpha.shape[-1]} directions, but {head} of head and {lip} of lips")
        mouth, source, now = source[:, head:], source[:, :head], alpha[:, HISTORY:, :head]
        mu = jnp.zeros((*now.shape[:2], self.reducer.latent))
        past = mu[:, :HISTORY]
        time, loudness = jnp.zeros(len(mu)), energy(text.prior)
        pooled = sampler.pool(text.features)
        return {
            "reducer": self.reducer.init(keys[0], now, source, lengths)["params"],
            "motion_prior": self.prior.init(keys[1], pooled, source, lengths)["params"],
            "motion_field": self.field.init(keys[2], mu, time, mu, source, past, lengths)["params"],
            "lip_mapper": self.mapper.init(keys[3], *text, loudness, mouth, lengths)["params"],
        }

    def reducer_loss(
        self,
        params: Any,
        alpha_head: Float[Array, "b t d"],
        source: Float[Array, "b d"],
        lengths: Int[Array, " b"],
    ) -> tuple[Float[Array, ""], Metrics]:
        """L_AE, and beside it the likelihood that fits the stored statistics."""
        out = self.reducer.apply({"params": params}, alpha_head, source, lengths)
        valid = layers.mask(lengths, alpha_head.shape[1])
        error = layers.masked_mean(jnp.square(out.alpha - alpha_head), valid)
        share = error / jnp.maximum(masked_variance(alpha_head, valid), 1e-12)
        return error + 0.01 * out.surprise, {"ae": error, "ae_share": share}

    def head_text(self, text: Float[Array, "b m c"]) -> Float[Array, "b m c"]:
        """What the head's motion knows of the text: nothing unless `loss.head_hears`."""
        return text if self.loss.head_hears else jnp.zeros_like(text)

    def sampler_loss(
        self,
        params: Mapping[str, Any],
        text: Float[Array, "b m c"],
        code: Float[Array, "b p d"],
        pose: Float[Array, "b a"],
        source: Float[Array, "b a"],
        has_history: Bool[Array, " b"],
        lengths: Int[Array, " b"],
        key: jax.Array,
    ) -> tuple[Float[Array, ""], Metrics]:
        """L_prior and L_OT-CFM on codes whose first HISTORY frames come before the stretch.

        Half of the stretches, and all without a history, stand for the beginning of a clip: the
        `pose` of their first frame is then their portrait's and, held, their history.

        The flow is of what the accent leaves. A history is left as it is, with accents that were
        sampled apart: the text before the stretch is not known here, and they are small.
        """
        text = self.head_text(text)
        keys = jax.random.split(key, 5)
        goes_on = has_history & jax.random.bernoulli(keys[1], 0.5, has_history.shape)
        source = jnp.where(goes_on[:, None], source, pose)
        rest = sampler.held(self.reducer, params["reducer"], pose)
        past = jnp.where(goes_on[:, None, None], code[:, :HISTORY], rest)
        past, now = jax.lax.stop_gradient((past, code[:, HISTORY:]))
        valid = layers.mask(lengths, now.shape[1])
        pooled, of_prior = sampler.pool(text), {"params": params["motion_prior"]}
        mu = self.prior.apply(
            of_prior, pooled, source, lengths, train=True, rngs={"dropout": keys[0]}
        )
        accent = self.prior.apply(of_prior, pooled, lengths, method="accent")
        prior = layers.masked_mean(0.5 * (jnp.square(now - mu) + math.log(2 * math.pi)), valid)
        # The prior learns from its likelihood alone: through the flow it would learn to be easy,
        # not right.
        mean, accent = jax.lax.stop_gradient((mu - accent, accent))

        def velocity(x: Float[Array, "b t d"], time: Float[Array, " b"]) -> Float[Array, "b t d"]:
            return self.field.apply(
                {"params": params["motion_field"]},
                x,
                time,
                mean,
                source,
                past,
                lengths,
                train=True,
                rngs={"dropout": keys[2]},
            )

        noise = jax.random.normal(keys[3], now.shape)
        time = jax.random.uniform(keys[4], lengths.shape)
        cfm = flow.OTCFM().loss(velocity, mean + noise, now - accent, time, valid)
        total = self.loss.prior * prior + self.loss.cfm * cfm
        return total, {"prior": prior, "cfm": cfm}

    def lips(
        self,
        params: Any,
        text: TextFeatures,
        mel: Float[Array, "b m 80"],
        source: Float[Array, "b l"],
        lengths: Int[Array, " b"],
        key: jax.Array,
    ) -> Float[Array, "b t l"]:
        """alpha_lip in training, given the source's.

        The energy is the real one or, for `loss.predicted_energy` of them, the text's.
        """
        drop, choice = jax.random.split(key)
        predicted = jax.random.bernoulli(choice, self.loss.predicted_energy, lengths.shape)
        loudness = jnp.where(predicted[:, None], energy(text.prior), energy(mel))
        inputs = hearing.heard(self.loss.lips_hear, *text, mel, loudness)
        return self.mapper.apply(
            {"params": params}, *inputs, source, lengths, train=True, rngs={"dropout": drop}
        )

    def lip_loss(
        self,
        found: Float[Array, "b t l"],
        alpha_lip: Float[Array, "b t l"],
        lengths: Int[Array, " b"],
    ) -> tuple[Float[Array, ""], Metrics]:
        """Squared error of alpha_lip and of its differences from frame to frame."""
        valid = layers.mask(lengths, found.shape[1])
        error = found - jax.lax.stop_gradient(alpha_lip)
        lip = layers.masked_mean(jnp.square(error), valid)
        change = layers.masked_mean(jnp.square(jnp.diff(error, axis=1)), valid[:, 1:])
        share = lip / jnp.maximum(masked_variance(alpha_lip, valid), 1e-12)
        total = self.loss.lip * lip + self.loss.lip_change * change
        return total, {"lip": lip, "lip_change": change, "lip_share": share}


def masked_variance(x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, ""]:
    """Mean over channels of the variance over the valid frames of the whole batch."""
    count = jnp.maximum(jnp.sum(valid), 1)
    mean = jnp.sum(layers.hide(x, valid), axis=(0, 1), keepdims=True) / count
    return layers.masked_mean(jnp.square(x - mean), valid)
