"""The speech stage: voice, text encoder, durations, mel decoder, given a frozen face encoder.

Durations are the corpus's own where it has them; elsewhere the monotonic alignment of the mel with
the text encoder's prior. The text encoder sees whole sentences, the decoder a crop of each. Where
the voice is known, the sentence is said in it rather than in the one that is read off the face
(`loss.told`, a share): the reader comes from the face stage, which has seen more people than speak.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from ml_collections import ConfigDict

from facespeak_jax import flow, layers, model
from facespeak_jax.data.examples.speech import SpeechExamples
from facespeak_jax.rates import HOP, MELS
from facespeak_jax.speech import durations, mel
from facespeak_jax.stages.stage import Batch, Metrics, Outputs, Params

TRAINED = ("voice_reader", "voice_code", "text_encoder", "durations", "mel_decoder")
FROZEN = ("encoder", "motion_basis")
SAMPLING_STEPS = 8  # of the pictures, sounds and figures of an evaluation
TEMPERATURE = 0.667


class Sentence(NamedTuple):
    """What the text and the voice say about a batch, and the sound they are compared with."""

    code: Float[Array, "b v"]  # of the voice it is said in
    guess: Float[Array, "b k"]  # the coordinates of the voice that its face suggests
    e_t: Float[Array, "b l c"]
    prior: Float[Array, "b l 80"]
    log_d: Float[Array, "b l"]
    mel: Float[Array, "b m 80"]  # normalised
    spans: Int[Array, "b l"]  # given or found durations


class SpeechModules:
    """The parts of this stage and their losses, which the joint stage shares."""

    def __init__(self, config: ConfigDict):
        dtype = jnp.dtype(config.train.dtype)
        self.config = config
        names = (*TRAINED, *FROZEN, *(["vocoder"] if config.upstream.get("vocoder") else []))
        self.part = {name: model.part(name, config.model[name].to_dict(), dtype) for name in names}
        self.path = flow.OTCFM()

    def run(self, name: str, parts: dict[str, Any], *arguments: Any, **options: Any) -> Any:
        """One part applied with its parameters."""
        return self.part[name].apply({"params": parts[name]}, *arguments, **options)

    def identity(self, parts: dict[str, Any], image: Array) -> Float[Array, "b s"]:
        """f_id of uint8 pictures, or all of f where `loss.voice_of` is "style"; no gradient."""
        f, _ = self.run("encoder", parts, image.astype(jnp.float32) / 127.5 - 1)
        split = self.run("motion_basis", parts, f)
        wanted = {"identity": split.identity, "style": split.identity + split.motion}
        return jax.lax.stop_gradient(wanted[self.config.loss.voice_of])

    def log_mel(self, batch: Batch) -> Float[Array, "b m 80"]:
        """The normalised log-mel of the batch's waves."""
        wave = batch["wave"].astype(jnp.float32) / 32768.0
        numbers = self.config.model
        return (mel.log_mel(wave, HOP * batch["mel_length"]) - numbers.mel_mean) / numbers.mel_std

    def sentence(
        self,
        parts: dict[str, Any],
        identity: Float[Array, "b s"],
        batch: Batch,
        options: Any,
        told: Bool[Array, " b"] | None = None,
    ) -> Sentence:
        """Everything up to the decoder; `options` go to each part (train, rngs).

        Sentences `told` are said in their known voice, the others in the one the face suggests.
        """
        voice = guess = self.run("voice_reader", parts, identity)
        if told is not None:
            voice = jnp.where((told & batch["voiced"])[:, None], batch["voice"], guess)
        code = self.run("voice_code", parts, voice, **options)
        lengths = batch["length"]
        e_t, prior = self.run("text_encoder", parts, batch["tokens"], lengths, code, **options)
        log_d = self.run("durations", parts, e_t, lengths, code, **options)
        target = self.log_mel(batch)
        spans = given_or_found(batch, prior, target)
        return Sentence(code, guess, e_t, prior, log_d, target, spans)

    def terms(
        self, parts: dict[str, Any], said: Sentence, batch: Batch, key: jax.Array, options: Any
    ) -> Metrics:
        """The four losses, unweighted."""
        valid = layers.mask(batch["mel_length"], said.mel.shape[1])
        mean = durations.upsample(said.prior, said.spans, said.mel.shape[1])
        token = layers.mask(batch["length"], said.log_d.shape[1])
        wrong = jnp.square(said.log_d - durations.to_log(said.spans))
        missed = jnp.square(said.guess - batch["voice"]).mean(-1)
        voiced = batch["voiced"].astype(jnp.float32)
        return {
            "prior": 0.5 * layers.masked_mean(jnp.square(said.mel - mean), valid),
            "duration": layers.masked_mean(wrong[:, :, None], token),
            "flow": self.flow_matching(parts, said, batch, key, options),
            "guess": (missed * voiced).sum() / jnp.maximum(voiced.sum(), 1.0),
        }

    def flow_matching(
        self, parts: dict[str, Any], said: Sentence, batch: Batch, key: jax.Array, options: Any
    ) -> Float[Array, ""]:
        """OT-CFM of a crop of each sentence; the flow times cover [0, 1] evenly over the batch."""
        frames, b = self.config.data.crop, said.mel.shape[0]
        spans = durations.window(said.spans, batch["start"], frames)
        text = stretched(said.prior, said.e_t, spans, frames)
        target = jax.vmap(lambda row, start: jax.lax.dynamic_slice_in_dim(row, start, frames))(
            said.mel, batch["start"]
        )
        lengths = jnp.minimum(batch["mel_length"] - batch["start"], frames)
        noise, shift = jax.random.split(key)
        x0 = jax.random.normal(noise, target.shape)
        t = (jax.random.uniform(shift) + jnp.arange(b) / b) % 1.0

        def velocity(x: Array, t: Array) -> Array:
            return self.run("mel_decoder", parts, x, t, text, said.code, lengths, **options)

        return self.path.loss(velocity, x0, target, t, layers.mask(lengths, frames))

    def spoken(
        self, parts: dict[str, Any], said: Sentence, batch: Batch, key: jax.Array
    ) -> Float[Array, "b m 80"]:
        """A normalised log-mel sampled with the given durations; zeros behind the end."""
        frames = said.mel.shape[1]
        text = stretched(said.prior, said.e_t, said.spans, frames)
        keys = jax.random.split(key, said.mel.shape[0])
        x0 = TEMPERATURE * jax.vmap(lambda k: flow.frame_noise(k, frames, MELS))(keys)

        def velocity(x: Array, t: Array) -> Array:
            return self.run("mel_decoder", parts, x, t, text, said.code, batch["mel_length"])

        end = flow.Euler().solve(velocity, x0, SAMPLING_STEPS)
        return layers.hide(end, layers.mask(batch["mel_length"], frames))


class SpeechStage:
    """See `stages.stage.Stage`. A vocoder among `config.upstream` gives its evaluations a sound."""

    def __init__(self, config: ConfigDict):
        self.config = config
        self.modules = SpeechModules(config)
        self._evaluate = jax.jit(self._evaluation)

    def example(self) -> SpeechExamples:
        """The maker of the examples this stage reads."""
        data = self.config.data
        return SpeechExamples(
            self.config.model.size, data.tokens, data.mels, data.crop, data.augment
        )

    def init(self, key: jax.Array, batch: Batch) -> Params:
        """Fresh parameters; the batch gives shapes only."""
        parts: dict[str, Any] = {}
        keys = iter(jax.random.split(key, len(self.modules.part)))

        def made(name: str, *arguments: Any) -> Any:
            parts[name] = self.modules.part[name].init(next(keys), *arguments)["params"]
            return self.modules.run(name, parts, *arguments)

        f, _ = made("encoder", batch["identity"].astype(jnp.float32) / 127.5 - 1)
        code = made("voice_code", made("voice_reader", made("motion_basis", f).identity))
        lengths = batch["length"]
        e_t, prior = made("text_encoder", batch["tokens"], lengths, code)
        made("durations", e_t, lengths, code)
        frames = self.config.data.crop
        spans = jnp.zeros_like(batch["durations"])
        text = stretched(prior, e_t, spans, frames)
        x, t = jnp.zeros((*text.shape[:2], MELS)), jnp.zeros(len(lengths))
        made("mel_decoder", x, t, text, code, jnp.full_like(lengths, frames))
        if "vocoder" in self.modules.part:
            made("vocoder", x)
        trained = {name: parts.pop(name) for name in TRAINED}
        return {"model": trained, "critic": {}, "frozen": parts}

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Outputs]:
        """Weighted sum of prior, duration, flow matching and the face's guess of the voice."""
        del step
        weight, parts = self.config.loss, {**params["frozen"], **params["model"]}
        dropout, noise, choice = jax.random.split(key, 3)
        options = {"train": True, "rngs": {"dropout": dropout}}
        identity = self.modules.identity(parts, batch["identity"])
        told = jax.random.uniform(choice, batch["voiced"].shape) < weight.told
        said = self.modules.sentence(parts, identity, batch, options, told)
        terms = self.modules.terms(parts, said, batch, noise, options)
        total: Any = sum(weight[name] * value for name, value in terms.items())
        return total, Outputs({f"speech/{name}": value for name, value in terms.items()})

    def eval(
        self, params: Params, batch: Batch, key: jax.Array
    ) -> tuple[Metrics, dict[str, np.ndarray], dict[str, np.ndarray]]:
        """The losses; the mel distance (natural log) of a sample; predicted over true pace.

        Pictures of the first sentence: its log-mel above the sampled one, and its durations over
        the log prior (phonemes upwards). Sounds: the recording, and the sample where there is a
        vocoder.
        """
        metrics, target, sample, alignment, wave = self._evaluate(params, batch, key)
        length, m = int(batch["length"][0]), int(batch["mel_length"][0])
        rows = [mel.picture(np.asarray(x[0, :m])) for x in (target, sample)]
        match, path = (np.asarray(x)[:length, :m].T for x in alignment)
        drawn = mel.picture(np.where(path > 0, match.max(), match))
        pictures = {"mel": np.concatenate(rows), "alignment": drawn.repeat(4, axis=0)}
        recorded = np.asarray(batch["wave"][0, : HOP * m], np.float32) / 32768.0
        sounds = {"recorded": recorded}
        if wave is not None:
            sounds["spoken"] = np.asarray(wave[0, : HOP * m])
        return metrics, pictures, sounds

    def _evaluation(self, params: Params, batch: Batch, key: jax.Array) -> tuple[Any, ...]:
        parts, modules = {**params["frozen"], **params["model"]}, self.modules
        identity = modules.identity(parts, batch["identity"])
        said = modules.sentence(parts, identity, batch, {})
        metrics = modules.terms(parts, said, batch, key, {})
        sample = modules.spoken(parts, said, batch, key)
        valid = layers.mask(batch["mel_length"], sample.shape[1])
        distance = layers.masked_mean(jnp.abs(sample - said.mel), valid)
        metrics["mel_l1"] = self.config.model.mel_std * distance
        predicted = durations.to_frames(said.log_d, batch["length"]).sum()
        metrics["pace"] = batch["mel_length"].sum() / predicted
        match = durations.log_prior(said.prior[:1], said.mel[:1])[0]
        frame = jnp.arange(match.shape[1])[None, :]
        ends = jnp.cumsum(said.spans[0])[:, None]
        path = (frame < ends) & (frame >= ends - said.spans[0][:, None])
        wave = None
        if "vocoder" in modules.part:
            wave = modules.run("vocoder", parts, sample[:1], batch["mel_length"][:1])
        return metrics, said.mel, sample, (match, path.astype(jnp.float32)), wave


def stretched(
    prior: Float[Array, "b l 80"],
    e_t: Float[Array, "b l c"],
    spans: Int[Array, "b l"],
    frames: int,
) -> Float[Array, "b {frames} k"]:
    """The mel decoder's text: prior and features of each phoneme repeated for its span."""
    both = jnp.concatenate([prior, e_t.astype(jnp.float32)], axis=-1)
    return durations.upsample(both, spans, frames)


def given_or_found(
    batch: Batch, prior: Float[Array, "b l 80"], target: Float[Array, "b m 80"]
) -> Int[Array, "b l"]:
    """The corpus's durations; where a clip has none, those of the best monotonic alignment."""
    timed: Bool[Array, " b"] = batch["timed"]

    def search() -> Int[Array, "b l"]:
        score = durations.log_prior(jax.lax.stop_gradient(prior), target)
        path = durations.maximum_path(score, batch["length"], batch["mel_length"])
        found = path.sum(-1).astype(jnp.int32)
        return jnp.where(timed[:, None], batch["durations"], found)

    return jax.lax.cond(jnp.all(timed), lambda: batch["durations"], search)
