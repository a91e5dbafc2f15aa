"""Stage `sync`: the expert that says whether a mouth and a sound belong together.

Binary cross-entropy on the cosine of a moment's crops with its own sound and with sounds of other
moments of the same clip (Prajwal et al. 2020, Sec. 3.1: wrong moments of the same clip, colour
crops, several frames at once).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Num
from ml_collections import ConfigDict

from facespeak_jax.data.examples.sync import SyncExamples
from facespeak_jax.motion.sync import SyncExpert, mouth_crops
from facespeak_jax.rates import MELS_PER_FRAME
from facespeak_jax.speech import mel
from facespeak_jax.stages.stage import Batch, Metrics, Outputs, Params


def to_float(image: Num[Array, "*b"]) -> Float[Array, "*b"]:
    """Pixels of 0 to 255 to float32 in [-1, 1]."""
    return image.astype(jnp.float32) / 127.5 - 1.0


def inner_mel(wave: Float[Array, "b n"], mean: float, deviation: float) -> Float[Array, "b m 80"]:
    """Normalised log-mel of a wave without the video frame of margin at either side."""
    frames = mel.log_mel(wave)[:, MELS_PER_FRAME:-MELS_PER_FRAME]
    return (frames - mean) / deviation


def balanced_cross_entropy(logits: Float[Array, "b k"]) -> Float[Array, ""]:
    """Binary cross-entropy of column 0 (true) and of the others (false), weighing the same."""
    true, false = jax.nn.softplus(-logits[:, 0]), jax.nn.softplus(logits[:, 1:])
    return 0.5 * (jnp.mean(true) + jnp.mean(false))


class SyncStage:
    """Trains `sync_expert`, whose arguments are config.sync."""

    def __init__(self, config: ConfigDict):
        self.config: Any = config
        dtype = jnp.dtype(self.config.train.dtype)
        self.expert: Any = SyncExpert(**self.config.sync, dtype=dtype)
        self._evaluate = jax.jit(self._judge)

    def example(self) -> SyncExamples:
        return SyncExamples(size=self.config.model.size, negatives=self.config.data.negatives)

    def init(self, key: jax.Array, batch: Batch) -> Params:
        boxes, frames = batch["mouth_box"][:1], to_float(batch["frames"][:1])
        crops = mouth_crops(frames, boxes, self.expert.size)
        sound = self._mels(batch)[:1, 0]
        return {"model": {"sync_expert": self.expert.init(key, crops, sound)["params"]}}

    def loss(
        self, params: Params, batch: Batch, key: jax.Array, step: jax.Array
    ) -> tuple[Float[Array, ""], Outputs]:
        del step
        logits, _ = self._judge(params, self._augmented(batch, key))
        loss = balanced_cross_entropy(logits)
        return loss, Outputs({"accuracy": accuracy(logits)})

    def eval(
        self, params: Params, batch: Batch, key: jax.Array
    ) -> tuple[Metrics, dict[str, np.ndarray], dict[str, np.ndarray]]:
        del key
        logits, crops = self._evaluate(params, batch)
        shown = np.asarray(crops[:4]).clip(-1, 1)  # the first examples, a row each
        rows = np.concatenate(np.concatenate(shown, axis=1), axis=1)
        metrics = {
            "loss": balanced_cross_entropy(logits),
            "accuracy": accuracy(logits),
            "true_logit": jnp.mean(logits[:, 0]),
            "false_logit": jnp.mean(logits[:, 1:]),
        }
        return metrics, {"crops": (127.5 * (rows + 1)).astype(np.uint8)}, {}

    def _judge(
        self, params: Params, batch: Batch
    ) -> tuple[Float[Array, "b k"], Float[Array, "b f h w 3"]]:
        """Logits of each example's moments (the true one first), and the crops."""
        expert = {"params": params["model"]["sync_expert"]}
        crops = mouth_crops(to_float(batch["frames"]), batch["mouth_box"], self.expert.size)
        sounds = self._mels(batch)
        b, k = sounds.shape[:2]
        face = self.expert.apply(expert, crops, method="face")
        speech = self.expert.apply(
            expert, sounds.reshape(b * k, *sounds.shape[2:]), method="speech"
        ).reshape(b, k, -1)
        faces = jnp.broadcast_to(face[:, None, :], speech.shape)
        return self.expert.apply(expert, faces, speech, method="logit"), crops

    def _mels(self, batch: Batch) -> Float[Array, "b k m 80"]:
        waves = batch["waves"]
        model = self.config.model
        found = inner_mel(waves.reshape(-1, waves.shape[-1]), model.mel_mean, model.mel_std)
        return found.reshape(*waves.shape[:2], *found.shape[1:])

    def _augmented(self, batch: Batch, key: jax.Array) -> Batch:
        """Mirrored half of the time, cut a little off, louder or softer, brighter or darker."""
        frames, boxes = batch["frames"].astype(jnp.float32), batch["mouth_box"]
        b = frames.shape[0]
        flip, shift, light, gain = jax.random.split(key, 4)
        mirror = jax.random.bernoulli(flip, 0.5, (b,))
        turned = jnp.stack(
            [1.0 - boxes[..., 2], boxes[..., 1], 1.0 - boxes[..., 0], boxes[..., 3]], axis=-1
        )
        frames = jnp.where(mirror[:, None, None, None, None], frames[:, :, :, ::-1], frames)
        boxes = jnp.where(mirror[:, None, None], turned, boxes)
        width = jnp.mean(boxes[..., 2] - boxes[..., 0], axis=1)[:, None, None]
        boxes = boxes + 0.1 * width * jax.random.uniform(shift, (b, 1, 4), minval=-1.0)
        contrast, brightness = jax.random.uniform(light, (2, b, 1, 1, 1, 1), minval=-1.0)
        frames = (1.0 + 0.2 * contrast) * frames + 25.0 * brightness
        loudness = jnp.exp(0.3 * jax.random.normal(gain, (b, 1, 1)))
        return batch | {
            "frames": jnp.clip(frames, 0.0, 255.0),
            "mouth_box": boxes,
            "waves": batch["waves"] * loudness,
        }


def accuracy(logits: Float[Array, "b k"]) -> Float[Array, ""]:
    """How often the true moment (column 0) is judged more in sync than every other one."""
    return jnp.mean(logits[:, 0] > jnp.max(logits[:, 1:], axis=1), dtype=jnp.float32)
