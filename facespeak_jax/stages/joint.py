"""Stage `joint`: face, speech and motion together, from the weights of their own stages.

Frames are rendered as they are when speaking: head motion through the frozen noise reducer, lips
from the text. So the generator learns to live with what the motion parts give it, and the picture
(L_sync among others) teaches the lip mapper and the text encoder. Durations are the corpus's own;
five successive frames are rendered of each stretch; L_sync hears the real sound.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import logging
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from facespeak_jax import flow
from facespeak_jax.data.examples.joint import JointExamples
from facespeak_jax.data.examples.motion import HISTORY
from facespeak_jax.data.examples.speech import SpeechExamples
from facespeak_jax.face import perceptual
from facespeak_jax.face.generator import Render, decided
from facespeak_jax.motion import sampler
from facespeak_jax.motion.lip_mapper import energy
from facespeak_jax.motion.sync import SYNC_FRAMES, SYNC_MELS, SyncExpert, mouth_crops
from facespeak_jax.rates import MELS_PER_FRAME
from facespeak_jax.speech import durations
from facespeak_jax.stages.face import Carry, FaceStage, attention, edge_l1, pyramid_l1
from facespeak_jax.stages.motion import SAMPLING_STEPS, curves
from facespeak_jax.stages.motion_losses import MotionModules, TextFeatures
from facespeak_jax.stages.speech import Sentence, SpeechStage
from facespeak_jax.stages.stage import Batch, Metrics, Outputs, Params
from facespeak_jax.stages.sync import to_float

FROZEN = ("reducer", "vocoder")


class Seen(NamedTuple):
    """What the encoder sees of a batch; alpha has a gradient in the frames that are rendered."""

    alpha_head: Float[Array, "b t d"]
    alpha_lip: Float[Array, "b t l"]
    source_head: Float[Array, "b d"]
    source_lip: Float[Array, "b l"]
    source_motion: Float[Array, "b s"]
    source_identity: Float[Array, "b s"]
    pyramid: tuple[Array, ...]


class Watched(NamedTuple):
    """What the sync expert makes of rendered mouths."""

    logit: Float[Array, " b"]  # log-odds that the sound is theirs
    likeness: Float[Array, " b"]  # cosine with the real mouths: 1 where it sees no difference


class JointStage:
    """See `stages.stage.Stage`. Everything trains but the reducer, the vocoder and the judges."""

    def __init__(self, config: ConfigDict):
        self.config: Any = config
        self.weight: Any = config.loss
        self.face: Any = FaceStage(_with_loss(config, self.weight.face))
        self.speech = SpeechStage(_with_loss(config, self.weight.speech))
        self.motion = MotionModules(config)
        dtype = jnp.dtype(self.config.train.dtype)
        self.expert: Any = SyncExpert(**self.config.sync, dtype=dtype)
        expert = bool(self.config.upstream.sync_expert)
        self.sync_weight, self.mouth_weight = (
            expert * weight for weight in (self.weight.sync, self.weight.mouth)
        )
        if not expert:
            logging.info("No config.upstream.sync_expert: what it would judge has weight 0")
        self._evaluate = jax.jit(self._evaluation)

    def example(self) -> JointExamples:
        """The maker of the examples this stage reads."""
        data = self.config.data
        spoken = SpeechExamples(
            self.config.model.size, data.tokens, data.mels, data.crop, data.augment
        )
        return JointExamples(spoken, data.frames)

    def init(self, key: jax.Array, batch: Batch) -> Params:
        """Fresh parameters; the batch gives shapes only."""
        keys = jax.random.split(key, 4)
        batch = {name: x[:2] for name, x in batch.items()}
        face, speech = self.face.init(keys[0], batch), self.speech.init(keys[1], batch)
        parts = speech["frozen"] | speech["model"] | face["frozen"] | face["model"]
        del parts["readout"]
        said = self.speech.modules.sentence(parts, self._voice_of(parts, batch), batch, {})
        seen = self._seen(parts, batch)
        alpha = jnp.concatenate([seen.alpha_head, seen.alpha_lip], axis=-1)
        lengths = batch["frame_count"] - HISTORY
        parts |= self.motion.init(keys[2], self._text(said, batch), alpha, alpha[:, 0], lengths)
        size = self.expert.size
        crops, sound = jnp.zeros((1, SYNC_FRAMES, size, size, 3)), said.mel[:1, :SYNC_MELS]
        frozen = {"sync_expert": self.expert.init(keys[3], crops, sound)["params"]}
        frozen |= {name: parts.pop(name) for name in (*FROZEN, *face["frozen"]) if name in parts}
        return {"model": parts, "critic": face["critic"], "frozen": frozen}

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Outputs]:
        """The paper's eight terms with its weights, the mapper's own target, and how much rendered
        mouths differ from the real ones to the sync expert."""
        parts = {**params["frozen"], **params["model"]}
        keys = jax.random.split(key, 5)
        options = {"train": True, "rngs": {"dropout": keys[0]}}
        said = self.speech.modules.sentence(parts, self._voice_of(parts, batch), batch, options)
        spoken = self.speech.modules.terms(parts, said, batch, keys[1], options)
        tts = jnp.stack([self.weight.speech[name] * value for name, value in spoken.items()]).sum()

        seen, text = self._seen(parts, batch), self._text(said, batch)
        lengths = batch["frame_count"] - HISTORY
        ae, ae_metrics = self.motion.reducer_loss(
            parts["reducer"], seen.alpha_head, seen.source_head, batch["frame_count"]
        )
        code = self._code(parts, seen, batch)
        flowing, flow_metrics = self.motion.sampler_loss(
            parts,
            text.features,
            code,
            *jax.lax.stop_gradient((seen.alpha_head[:, HISTORY], seen.source_head)),
            jnp.ones(len(lengths), bool),
            lengths,
            keys[2],
        )
        sound = self._stretch(said.mel, batch)
        mouth = jax.lax.stop_gradient(seen.source_lip)
        mapped = self.motion.lips(parts["lip_mapper"], text, sound, mouth, lengths, keys[3])
        lip, lip_metrics = self.motion.lip_loss(mapped, seen.alpha_lip[:, HISTORY:], lengths)
        # Some frames keep the encoder's own lips, or its alpha_lip would come to mean nothing.
        taught = jax.random.bernoulli(keys[4], self.weight.teacher_lips, (len(lengths), 1, 1))
        lips = jnp.where(
            taught, self._shown(seen.alpha_lip, batch), self._shown(mapped, batch, HISTORY)
        )
        reduced = self._reduced(parts, code, seen.source_head, batch)
        render = self._render(parts, seen, reduced, lips, batch)
        pictured, picture_metrics, carry = self._pictured(
            params, parts, render, seen, said, batch, step
        )
        total = self.weight.tts * tts + self.weight.ae * ae + flowing + lip + pictured
        metrics = ae_metrics | flow_metrics | lip_metrics | picture_metrics
        metrics |= {f"speech/{name}": value for name, value in spoken.items()}
        return total, Outputs(metrics, carry)

    def critic_loss(
        self, params: Params, carry: Carry, batch: Batch, key: jax.Array, step: Int[Array, ""]
    ) -> tuple[Float[Array, ""], Metrics]:
        """The face stage's, on the frames rendered here."""
        return self.face.critic_loss(params, carry, batch, key, step)

    def eval(
        self, params: Params, batch: Batch, key: jax.Array
    ) -> tuple[Metrics, dict[str, np.ndarray], dict[str, np.ndarray]]:
        """L1 beside copying the source, the sync logit; a strip of source, driven and target."""
        metrics, strip, (real, made) = self._evaluate(params, batch, key)
        rows = np.concatenate(np.concatenate(np.asarray(strip), axis=1), axis=1)
        count = int(batch["frame_count"][0]) - HISTORY
        head = curves(np.asarray(real[0, :count]), np.asarray(made[0, :count]))
        return metrics, {"strip": rows, "head": head}, {}

    def _voice_of(self, parts: Mapping[str, Any], batch: Batch) -> Float[Array, "b s"]:
        return self.speech.modules.identity(dict(parts), batch["identity"])

    def _seen(self, parts: Mapping[str, Any], batch: Batch) -> Seen:
        """The stretch without gradient; its rendered frames and the source with."""
        frames, source = to_float(batch["frames"]), to_float(batch["source"])
        b, t = frames.shape[:2]
        encoder, basis = {"params": parts["encoder"]}, {"params": parts["motion_basis"]}
        f, _ = self.face.encoder.apply(
            jax.lax.stop_gradient(encoder), frames.reshape(b * t, *frames.shape[2:])
        )
        all_of = self.face.motion_basis.apply(
            jax.lax.stop_gradient(basis), f.reshape(b, t, f.shape[-1])
        )
        taught = jnp.concatenate([source[:, None], self._shown(frames, batch)], axis=1)
        f, pyramid = self.face.encoder.apply(encoder, taught.reshape(-1, *frames.shape[2:]))
        motion = self.face.motion_basis.apply(basis, f.reshape(b, 1 + SYNC_FRAMES, -1))
        pyramid = tuple(x.reshape(b, -1, *x.shape[1:])[:, 0] for x in pyramid)
        put = jax.vmap(lambda x, part, at: jax.lax.dynamic_update_slice_in_dim(x, part, at, 0))
        return Seen(
            put(all_of.alpha_head, motion.alpha_head[:, 1:], batch["shown"]),
            put(all_of.alpha_lip, motion.alpha_lip[:, 1:], batch["shown"]),
            motion.alpha_head[:, 0],
            motion.alpha_lip[:, 0],
            motion.motion[:, 0],
            motion.identity[:, 0],
            pyramid,
        )

    def _shown(self, x: Float[Array, "b t *c"], batch: Batch, skipped: int = 0) -> Array:
        """The frames of the stretch that are rendered; x lacks its first `skipped` frames."""
        cut = jax.vmap(lambda row, at: jax.lax.dynamic_slice_in_dim(row, at, SYNC_FRAMES))
        return cut(x, batch["shown"] - skipped)

    def _stretch(self, mel: Float[Array, "b m 80"], batch: Batch) -> Float[Array, "b n 80"]:
        """The mel frames of the stretch without its history; anything behind the clip's end."""
        n = MELS_PER_FRAME * (batch["frames"].shape[1] - HISTORY)
        padded = jnp.pad(mel, ((0, 0), (0, n), (0, 0)))
        start = MELS_PER_FRAME * (batch["first"] + HISTORY)
        return jax.vmap(lambda row, at: jax.lax.dynamic_slice_in_dim(row, at, n))(padded, start)

    def _text(self, said: Sentence, batch: Batch) -> TextFeatures:
        """The text of the stretch without its history, at 100 Hz."""
        n = MELS_PER_FRAME * (batch["frames"].shape[1] - HISTORY)
        start = MELS_PER_FRAME * (batch["first"] + HISTORY)
        spans = durations.window(said.spans, start, n)
        return TextFeatures(
            durations.upsample(said.e_t.astype(jnp.float32), spans, n),
            durations.upsample(said.prior, spans, n),
        )

    def _code(self, parts: Mapping[str, Any], seen: Seen, batch: Batch) -> Float[Array, "b t k"]:
        return self.motion.reducer.apply(
            {"params": parts["reducer"]}, seen.alpha_head, batch["frame_count"], method="encode"
        )

    def _reduced(
        self,
        parts: Mapping[str, Any],
        code: Float[Array, "b t k"],
        source: Float[Array, "b d"],
        batch: Batch,
    ) -> Float[Array, "b f d"]:
        """alpha_head of the rendered frames as it comes out of the noise reducer."""
        alpha = self.motion.reducer.apply(
            {"params": parts["reducer"]}, code, source, batch["frame_count"], method="decode"
        )
        return self._shown(alpha, batch)

    def _render(
        self,
        parts: Mapping[str, Any],
        seen: Seen,
        alpha_head: Float[Array, "b f d"],
        alpha_lip: Float[Array, "b f l"],
        batch: Batch,
    ) -> Render:
        basis = {"params": parts["motion_basis"]}
        head = self.face.motion_basis.apply(basis, alpha_head, method="head_motion")
        lip = self.face.motion_basis.apply(basis, alpha_lip, method="lip_motion")
        identity = seen.source_identity[:, None]
        return self.face.generator.apply(
            {"params": parts["generator"]},
            to_float(batch["source"]),
            seen.pyramid,
            seen.source_motion,
            identity + head,
            identity + lip,
        )

    def _pictured(
        self,
        params: Params,
        parts: Mapping[str, Any],
        render: Render,
        seen: Seen,
        said: Sentence,
        batch: Batch,
        step: Int[Array, ""],
    ) -> tuple[Float[Array, ""], Metrics, Carry]:
        """What the rendered frames are judged by: L_rec, L_GAN, L_id, L_sync and their mouths."""
        weight, face = self.weight, self.weight.face
        size = render.image.shape[2]
        flat = (-1, size, size, 3)
        fake = render.image.reshape(flat)
        real = self._shown(to_float(batch["frames"]), batch).reshape(flat)
        boxes = {name: batch[name].reshape(-1, 4) for name in ("mouth_box", "eye_box")}
        where = attention(boxes, face.box, size)
        warped = render.warped.reshape(flat)
        terms = {
            "pixel": pyramid_l1(fake, real, where),
            "gradient": edge_l1(fake, real, where),
            "warped": pyramid_l1(warped, real, where),
        }
        if "perceptual" in parts:
            terms["perceptual"] = perceptual.distance(parts["perceptual"], fake, real)
        rec = jnp.stack([face[name] * value for name, value in terms.items()]).sum()
        judged = {"gan": jnp.float32(0), "feature": jnp.float32(0)}
        if params["critic"]:
            judged = self.face.critic_terms(params, fake, real, step)
        terms |= judged
        terms["id"] = self._identity_lost(parts, fake, seen)
        watched = self._watched(parts, render, said, batch)
        terms["sync"] = jnp.mean(jax.nn.softplus(-watched.logit))
        terms["mouth"] = jnp.mean(1.0 - watched.likeness)
        total = weight.rec * rec + weight.id * terms["id"]
        total = total + self.sync_weight * terms["sync"] + self.mouth_weight * terms["mouth"]
        total = total + weight.gan * judged["gan"] + face.feature * judged["feature"]
        source = jnp.repeat(to_float(batch["source"]), SYNC_FRAMES, axis=0)
        ratio = jnp.abs(fake - real).mean() / jnp.abs(source - real).mean()
        metrics = {f"face/{name}": value for name, value in terms.items()} | {"face/ratio": ratio}
        return total, metrics, Carry(jax.lax.stop_gradient(fake), real)

    def _identity_lost(
        self, parts: Mapping[str, Any], fake: Float[Array, "n h w 3"], seen: Seen
    ) -> Float[Array, ""]:
        """1 - cosine of f_id of rendered frames and of the source; the encoder itself is fixed."""
        encoder, basis = (
            {"params": jax.lax.stop_gradient(parts[name])} for name in ("encoder", "motion_basis")
        )
        f, _ = self.face.encoder.apply(encoder, fake)
        found = self.face.motion_basis.apply(basis, f).identity
        wanted = jax.lax.stop_gradient(jnp.repeat(seen.source_identity, SYNC_FRAMES, axis=0))
        norms = jnp.sum(found**2, -1) * jnp.sum(wanted**2, -1)
        return 1.0 - jnp.mean(jnp.sum(found * wanted, -1) * jax.lax.rsqrt(norms + 1e-8))

    def _watched(
        self, parts: Mapping[str, Any], render: Render, said: Sentence, batch: Batch
    ) -> Watched:
        """The sync expert on rendered lips, as they are when speaking, and the real sound."""
        expert, size = {"params": parts["sync_expert"]}, self.expert.size

        def seen(frames: Float[Array, "b f h w 3"]) -> Float[Array, "b e"]:
            crops = mouth_crops(frames, batch["mouth_box"], size)
            return self.expert.apply(expert, crops, method="face")

        start = MELS_PER_FRAME * (batch["first"] + batch["shown"])
        cut = jax.vmap(lambda row, at: jax.lax.dynamic_slice_in_dim(row, at, SYNC_MELS))
        speech = self.expert.apply(expert, cut(said.mel, start), method="speech")
        fake = seen(decided(render, to_float(batch["source"])).image)
        real = seen(self._shown(to_float(batch["frames"]), batch))
        logit = self.expert.apply(expert, fake, speech, method="logit")
        return Watched(logit, jnp.sum(fake * real, axis=-1))

    def _evaluation(
        self, params: Params, batch: Batch, key: jax.Array
    ) -> tuple[Metrics, Array, tuple[Array, Array]]:
        """Metrics without dropout; a strip of pictures; real and sampled alpha_head."""
        parts = {**params["frozen"], **params["model"]}
        said = self.speech.modules.sentence(parts, self._voice_of(parts, batch), batch, {})
        seen, text = self._seen(parts, batch), self._text(said, batch)
        lengths = batch["frame_count"] - HISTORY
        loudness = energy(self._stretch(said.mel, batch))
        mapped = self.motion.mapper.apply(
            {"params": parts["lip_mapper"]}, *text, loudness, seen.source_lip, lengths
        )
        code = self._code(parts, seen, batch)
        lips = self._shown(mapped, batch, HISTORY)
        reduced = self._reduced(parts, code, seen.source_head, batch)
        render = self._render(parts, seen, reduced, lips, batch)
        sampled = sampler.sample_motion(
            self.motion.prior,
            self.motion.field,
            self.motion.reducer,
            parts,
            text.features,
            seen.source_head,
            lengths,
            jax.random.split(key, len(lengths)),
            solver=flow.Midpoint(),
            steps=SAMPLING_STEPS,
        )
        fake = render.image.clip(-1, 1)
        real = self._shown(to_float(batch["frames"]), batch)
        source = jnp.broadcast_to(to_float(batch["source"])[:, None], real.shape)
        error, copied = jnp.abs(fake - real).mean(), jnp.abs(source - real).mean()
        _, lip = self.motion.lip_loss(mapped, seen.alpha_lip[:, HISTORY:], lengths)
        watched = self._watched(parts, render, said, batch)
        metrics = {
            "l1": error,
            "copy_l1": copied,
            "ratio": error / copied,
            "id": self._identity_lost(parts, fake.reshape(-1, *fake.shape[2:]), seen),
            "sync_logit": watched.logit.mean(),
            "mouth_likeness": watched.likeness.mean(),
            **lip,
        }
        strip = jnp.stack([source[:, 0], fake[:, 0], real[:, 0], fake[:, -1], real[:, -1]], axis=1)
        strip = jnp.round(127.5 * (strip[:4] + 1)).astype(jnp.uint8)
        return metrics, strip, (seen.alpha_head[:, HISTORY:], sampled)


def _with_loss(config: ConfigDict, loss: ConfigDict) -> ConfigDict:
    """The config with other loss weights: what a stage reads that is part of this one."""
    fields = {name: config[name] for name in config if name != "loss"}
    return ConfigDict(fields | {"loss": loss})
