"""The vocoder stage: sound out of its own log-mel, judged by spectra and by wave critics."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from facespeak_jax import model
from facespeak_jax.data.examples.vocoder import MARGIN, VocoderExamples
from facespeak_jax.rates import HOP
from facespeak_jax.speech import critics, mel
from facespeak_jax.speech.critics import Judgement
from facespeak_jax.stages.stage import Batch, Metrics, Outputs, Params, started

# Window, mel bins and n_fft of the spectra compared; hop is a quarter of the window.
SCALES = ((320, 40, 512), (640, 80, 1024), (1280, 100, 2048))
LOUD = 1e-2  # magnitude below which single bins are not compared: noise, whose bins are chance


class Carry(NamedTuple):
    """What the critics compare."""

    made: Float[Array, "b n"]
    recorded: Float[Array, "b n"]


class VocoderStage:
    """See `stages.stage.Stage`. Part: vocoder. Critics: periods, resolutions."""

    def __init__(self, config: ConfigDict):
        self.config = config
        dtype = jnp.dtype(config.train.dtype)
        self.vocoder = model.part("vocoder", config.model.vocoder.to_dict(), dtype)
        self.critics = {
            "periods": critics.MultiPeriodCritic(dtype=dtype, **config.loss.periods),
            "resolutions": critics.MultiResolutionCritic(dtype=dtype, **config.loss.resolutions),
        }
        self._evaluate = jax.jit(self._evaluation)

    def example(self) -> VocoderExamples:
        """The maker of the examples this stage reads."""
        return VocoderExamples(self.config.data.frames)

    def init(self, key: jax.Array, batch: Batch) -> Params:
        """Fresh parameters; the batch gives shapes only."""
        wave, features = self._inputs(batch)
        keys = jax.random.split(key, 3)
        parts = {"vocoder": self.vocoder.init(keys[0], features)["params"]}
        judges = {}
        if self.config.loss.gan or self.config.loss.feature:
            judges = {
                name: critic.init(k, wave)["params"]
                for (name, critic), k in zip(self.critics.items(), keys[1:], strict=True)
            }
        return {"model": parts, "critic": judges, "frozen": {}}

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Outputs]:
        """Weighted sum of spectral distances and, from `critic_from` on, of the critics' terms."""
        del key  # nothing here is random but the examples
        weight = self.config.loss
        recorded, features = self._inputs(batch)
        made: Any = self.vocoder.apply({"params": params["model"]["vocoder"]}, features)
        terms = {
            "mel": spectral_distance(made, recorded),
            "linear": linear_distance(made, recorded),
        }
        if params["critic"]:
            terms |= self._critic_terms(params, made, recorded, step)
        total: Any = sum(weight[name] * value for name, value in terms.items())
        metrics = {f"vocoder/{name}": value for name, value in terms.items()}
        return total, Outputs(metrics, Carry(jax.lax.stop_gradient(made), recorded))

    def critic_loss(
        self, params: Params, carry: Carry, batch: Batch, key: jax.Array, step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Metrics]:
        """Least squares on recorded and made waves. Zero before `loss.critic_from`."""
        del batch, key
        recorded = self._judgements(params, carry.recorded)
        value = critics.critic_loss(recorded, self._judgements(params, carry.made))
        value = value * started(step, self.config.loss.critic_from)
        return value, {"critic/squares": value}

    def eval(
        self, params: Params, batch: Batch, key: jax.Array
    ) -> tuple[Metrics, dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Distances of spectra, loudness; log-mels (recorded above made) and sounds."""
        del key
        metrics, recorded, made = self._evaluate(params, batch)
        rows = [mel.picture(np.asarray(mel.log_mel(wave[:1])[0])) for wave in (recorded, made)]
        sounds = {"recorded": np.asarray(recorded[0]), "made": np.asarray(made[0])}
        return metrics, {"mel": np.concatenate(rows)}, sounds

    def _evaluation(self, params: Params, batch: Batch) -> tuple[Metrics, Array, Array]:
        recorded, features = self._inputs(batch)
        made: Any = self.vocoder.apply({"params": params["model"]["vocoder"]}, features)
        distance = jnp.abs(mel.log_mel(made) - mel.log_mel(recorded)).mean()
        loudness = jnp.sqrt(jnp.square(made).mean() / jnp.square(recorded).mean())
        metrics = {
            "mel_l1": distance,
            "mel": spectral_distance(made, recorded),
            "linear": linear_distance(made, recorded),
            "loudness": loudness,  # root mean square, made over recorded
        }
        return metrics, recorded, made

    def _inputs(self, batch: Batch) -> tuple[Float[Array, "b n"], Float[Array, "b m 80"]]:
        """The wave inside the margins and its normalised log-mel."""
        features = mel.log_mel(batch["wave"])[:, MARGIN:-MARGIN]
        numbers = self.config.model
        features = (features - numbers.mel_mean) / numbers.mel_std
        return batch["wave"][:, HOP * MARGIN : -HOP * MARGIN], features

    def _judgements(self, params: Params, wave: Float[Array, "b n"]) -> tuple[Judgement, ...]:
        judged: list[Any] = []
        for name, critic in self.critics.items():
            judged += critic.apply({"params": params["critic"][name]}, wave)
        return tuple(judged)

    def _critic_terms(
        self,
        params: Params,
        made: Float[Array, "b n"],
        recorded: Float[Array, "b n"],
        step: Int[Array, ""],
    ) -> Metrics:
        judged = self._judgements(params, made)
        target = jax.lax.stop_gradient(self._judgements(params, recorded))
        on = started(step, self.config.loss.critic_from)
        return {
            "gan": on * critics.adversarial_loss(judged),
            "feature": on * critics.feature_loss(target, judged),
        }


def spectral_distance(made: Float[Array, "b n"], recorded: Float[Array, "b n"]) -> Float[Array, ""]:
    """Mean absolute difference of log-mels of several windows (natural log)."""
    distances = []
    for window, bins, n_fft in SCALES:
        one, other = (
            mel.log_mel(wave, bins=bins, window=window, hop=window // 4, n_fft=n_fft)
            for wave in (made, recorded)
        )
        distances.append(jnp.abs(one - other).mean())
    return sum(distances, start=jnp.zeros(())) / len(distances)


def linear_distance(made: Float[Array, "b n"], recorded: Float[Array, "b n"]) -> Float[Array, ""]:
    """Spectral convergence and log-magnitude distance of the same windows, bin by bin.

    Mel bands hide single harmonics: from them alone a vocoder learns to hum at the frame rate
    instead of the voice's own pitch. Both terms: Yamamoto, Song & Kim 2020, equations 4 to 6.
    """
    distances = []
    for window, _, n_fft in SCALES:
        one, other = (
            mel.magnitude(mel.spectrum(wave, window=window, hop=window // 4, n_fft=n_fft))
            for wave in (made, recorded)
        )
        missed = jnp.sqrt(jnp.square(one - other).sum((1, 2)) + 1e-12)
        convergence = missed / jnp.sqrt(jnp.square(other).sum((1, 2)) + 1e-3)
        logs = jnp.log(jnp.maximum(one, LOUD)) - jnp.log(jnp.maximum(other, LOUD))
        distances.append(convergence.mean() + jnp.abs(logs).mean())
    return sum(distances, start=jnp.zeros(())) / len(distances)
