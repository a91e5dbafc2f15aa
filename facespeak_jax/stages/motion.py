"""Stage `motion`: the noise reducer, then the motion sampler; the lip mapper all along.

The first `loss.reducer_steps` steps train the reducer. After that it stays as it is, and the prior
and the vector field learn its standardised codes. Text features come from the frozen text encoder,
with the corpus's own durations.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from etils import epath
from jaxtyping import Array, Bool, Float, Int, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from ml_collections import ConfigDict

from facespeak_jax import flow, layers, model
from facespeak_jax.data.examples.motion import HISTORY, AlphaTable, MotionExamples
from facespeak_jax.data.records import Clips
from facespeak_jax.motion import hearing, sampler
from facespeak_jax.motion.lip_mapper import energy
from facespeak_jax.rates import MELS_PER_FRAME
from facespeak_jax.speech import durations
from facespeak_jax.stages.alpha_table import alpha_and_identity, encode_corpus
from facespeak_jax.stages.motion_losses import MotionModules, TextFeatures
from facespeak_jax.stages.stage import Batch, Metrics, Outputs, Params
from facespeak_jax.stages.sync import inner_mel

SAMPLING_STEPS = 8  # of the pictures and figures of an evaluation


class MotionStage:
    """See `stages.stage.Stage`. Trains the four parts on a frozen encoder and text encoder.

    `prepare` must run before the batches that are trained on are made, and again after a restart.
    """

    def __init__(self, config: ConfigDict):
        self.config: Any = config
        self.modules = MotionModules(config)
        self.tables: dict[str, AlphaTable] = {}
        dtype = jnp.dtype(self.config.train.dtype)
        self.text_encoder: Any
        self.voice_reader: Any
        self.voice_code: Any
        self.text_encoder, self.voice_reader, self.voice_code = (
            model.part(name, self.config.model[name].to_dict(), dtype)
            for name in ("text_encoder", "voice_reader", "voice_code")
        )
        self.face: Any = model.build(
            {name: self.config.model[name].to_dict() for name in ("encoder", "motion_basis")},
            dtype=dtype,
        )
        self._evaluate = jax.jit(self._sample)

    def prepare(self, params: Params, sources: Sequence[Clips], workdir: epath.PathLike) -> None:
        """Encodes every clip of every source once, into files under `<workdir>/alpha`."""
        face = {name: params["frozen"][name] for name in ("encoder", "motion_basis")}
        for clips in sources:
            if clips.name not in self.tables:
                directory = epath.Path(workdir) / "alpha"
                size = self.config.model.size
                self.tables[clips.name] = encode_corpus(self.face, face, clips, directory, size)

    def example(self) -> MotionExamples:
        data, parts = self.config.data, self.config.model
        return MotionExamples(
            self.tables,
            motions=self.modules.reducer.head + self.modules.mapper.lip,
            style=parts.motion_basis.width,
            shortest=data.shortest,
            frames=data.frames,
            tokens=data.tokens,
        )

    def init(self, key: jax.Array, batch: Batch) -> Params:
        keys = jax.random.split(key, 5)
        batch = {name: x[:1] for name, x in batch.items()}
        size = self.config.model.size
        image = jnp.zeros((1, size, size, 3))
        frozen = self.face.init(keys[0], image, method=alpha_and_identity)["params"]
        voice, read = self.voice_reader.init_with_output(keys[1], batch["identity"])
        code, known = self.voice_code.init_with_output(keys[4], voice)
        of_text = self.text_encoder.init(keys[2], batch["tokens"], batch["token_length"], code)
        frozen |= {
            "voice_reader": read["params"],
            "voice_code": known["params"],
            "text_encoder": of_text["params"],
        }
        text = self.text(frozen, batch)
        trained = self.modules.init(keys[3], text, batch["alpha"], batch["source"], batch["length"])
        return {"model": trained, "frozen": frozen}

    def text(self, params: Mapping[str, Any], batch: Batch) -> TextFeatures:
        """The frozen text encoder's view of each example's stretch, at 100 Hz."""
        voice = self.voice_reader.apply({"params": params["voice_reader"]}, batch["identity"])
        code = self.voice_code.apply({"params": params["voice_code"]}, voice)
        e_t, prior = self.text_encoder.apply(
            {"params": params["text_encoder"]}, batch["tokens"], batch["token_length"], code
        )
        frames = MELS_PER_FRAME * (batch["alpha"].shape[1] - HISTORY)
        spans = durations.window(batch["durations"], MELS_PER_FRAME * batch["start"], frames)
        return TextFeatures(
            durations.upsample(e_t.astype(jnp.float32), spans, frames),
            durations.upsample(prior, spans, frames),
        )

    def mel(self, batch: Batch) -> Float[Array, "b m 80"]:
        """Normalised log-mel of each example's stretch."""
        return inner_mel(batch["wave"], self.config.model.mel_mean, self.config.model.mel_std)

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[Float[Array, ""], Outputs]:
        trained, lengths, weight = params["model"], batch["length"], self.config.loss
        head_key, lip_key = jax.random.split(key)
        text = jax.lax.stop_gradient(self.text(params["frozen"], batch))
        total, told = jnp.float32(0), {}
        if weight.ae or weight.prior or weight.cfm:  # a twin may train the lips alone, or the head
            total, told = self._head_loss(trained, text, batch, head_key, step)
        if weight.lip or weight.lip_change:
            _, alpha_lip, _, mouth = self._alphas(batch)
            lips = self.modules.lips(
                trained["lip_mapper"], text, self.mel(batch), mouth, lengths, lip_key
            )
            lip, lip_told = self.modules.lip_loss(lips, alpha_lip, lengths)
            total, told = total + lip, told | lip_told
        return total, Outputs(told)

    def _head_loss(
        self,
        trained: Mapping[str, Any],
        text: TextFeatures,
        batch: Batch,
        key: jax.Array,
        step: jax.Array,
    ) -> tuple[Float[Array, ""], Metrics]:
        """That of the reducer first, later that of prior and field."""
        alpha_head, _, source, _ = self._alphas(batch)
        lengths = batch["length"]
        ae, told = self.modules.reducer_loss(
            trained["reducer"], alpha_head, source, lengths + HISTORY
        )
        code = self._code(trained, alpha_head, lengths)
        pose = alpha_head[:, HISTORY]
        sampling, sampling_told = self.modules.sampler_loss(
            trained, text.features, code, pose, source, batch["has_history"], lengths, key
        )
        first = (step < self.config.loss.reducer_steps).astype(jnp.float32)
        total = first * self.config.loss.ae * ae + (1.0 - first) * sampling
        return total, told | sampling_told

    def eval(
        self, params: Params, batch: Batch, key: jax.Array
    ) -> tuple[Metrics, dict[str, UInt8[np.ndarray, "h w 3"]], dict[str, np.ndarray]]:
        """How real and sampled motion differ in this batch, and curves of its first example."""
        metrics, (head, sampled, lip, mapped) = self._evaluate(params, batch, key)
        length = int(batch["length"][0])
        drawn = {
            "head": curves(np.asarray(head[0, :length]), np.asarray(sampled[0, :length])),
            "lips": curves(np.asarray(lip[0, :length]), np.asarray(mapped[0, :length])),
        }
        return metrics, drawn, {}

    def _alphas(
        self, batch: Batch
    ) -> tuple[
        Float[Array, "b p d"], Float[Array, "b t l"], Float[Array, "b d"], Float[Array, "b l"]
    ]:
        """alpha_head and alpha_lip of the stretch, and those of the source."""
        head = self.modules.reducer.head
        alpha, source = batch["alpha"], batch["source"]
        return alpha[..., :head], alpha[:, HISTORY:, head:], source[:, :head], source[:, head:]

    def _code(
        self,
        trained: Mapping[str, Any],
        alpha_head: Float[Array, "b p d"],
        lengths: Int[Array, " b"],
    ) -> Float[Array, "b p k"]:
        return self.modules.reducer.apply(
            {"params": trained["reducer"]}, alpha_head, lengths + HISTORY, method="encode"
        )

    def _sample(
        self, params: Params, batch: Batch, key: jax.Array
    ) -> tuple[Metrics, tuple[Array, Array, Array, Array]]:
        """Metrics; real and sampled alpha_head, real and mapped alpha_lip."""
        trained, lengths = params["model"], batch["length"]
        alpha_head, alpha_lip, source, mouth = self._alphas(batch)
        text = self.text(params["frozen"], batch)
        sampled = sampler.sample_motion(
            self.modules.prior,
            self.modules.field,
            self.modules.reducer,
            trained,
            self.modules.head_text(text.features),
            source,
            lengths,
            jax.random.split(key, len(lengths)),
            solver=flow.Midpoint(),
            steps=SAMPLING_STEPS,
        )
        mel = self.mel(batch)
        inputs = hearing.heard(self.config.loss.lips_hear, *text, mel, energy(mel))
        mapper = {"params": trained["lip_mapper"]}
        mapped = self.modules.mapper.apply(mapper, *inputs, mouth, lengths)
        code = self._code(trained, alpha_head, lengths)
        valid, head = layers.mask(lengths, sampled.shape[1]), alpha_head[:, HISTORY:]
        _, ae = self.modules.reducer_loss(trained["reducer"], alpha_head, source, lengths + HISTORY)
        pose = alpha_head[:, HISTORY]
        _, flowing = self.modules.sampler_loss(
            trained, text.features, code, pose, source, batch["has_history"], lengths, key
        )
        _, lip = self.modules.lip_loss(mapped, alpha_lip, lengths)
        spread = {
            "deviation_real": within_deviation(head, valid),
            "deviation_sampled": within_deviation(sampled, valid),
            "step_real": frame_step(head, valid),
            "step_sampled": frame_step(sampled, valid),
        }
        return ae | flowing | lip | spread, (head, sampled, alpha_lip, mapped)


def within_deviation(x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, ""]:
    """How far motion strays from its own mean over a stretch: root mean square."""
    count = jnp.maximum(jnp.sum(valid, axis=1), 1)[:, None, None]
    mean = jnp.sum(layers.hide(x, valid), axis=1, keepdims=True) / count
    return jnp.sqrt(layers.masked_mean(jnp.square(x - mean), valid))


def frame_step(x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, ""]:
    """How far motion goes from one frame to the next: root mean square."""
    return jnp.sqrt(layers.masked_mean(jnp.square(jnp.diff(x, axis=1)), valid[:, 1:]))


def curves(
    real: Float[np.ndarray, "t c"], made: Float[np.ndarray, "t c"]
) -> UInt8[np.ndarray, "h w 3"]:
    """A picture of the first channels over time: real ones grey, made ones blue."""
    count = min(6, real.shape[1])
    figure = Figure(figsize=(8, 1.2 * count), layout="tight")
    canvas = FigureCanvasAgg(figure)
    for index in range(count):
        axes = figure.add_subplot(count, 1, index + 1)
        axes.plot(real[:, index], color="0.6")
        axes.plot(made[:, index], color="C0")
        axes.tick_params(labelsize=6)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
