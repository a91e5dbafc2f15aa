"""Random weights of a config's size: what can be timed, though not listened to, before training."""

import runpy
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from facespeak_jax import export, model
from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.motion.lip_mapper import energy
from facespeak_jax.rates import MELS_PER_FRAME
from facespeak_jax.speech import durations as timing
from facespeak_jax.speech.text import SYMBOLS

_MELS = 16


class BadConfig(FaceSpeakError):
    """A config file cannot be read, or its stage lacks parts."""


def of_config(name: str) -> export.Weights:
    """Weights for a config named as the training program names it, FILE:STAGE.

    Raises BadConfig unless the stage has every part, as `joint` does.
    """
    path, _, stage = name.partition(":")
    if not Path(path).is_file():
        raise BadConfig(f"there is no config {path!r}; give FILE:STAGE, as configs/lite.py:joint")
    config = runpy.run_path(path)["get_config"](stage or "joint").model.to_dict()
    missing = [part for part in (*model.PARTS, "vocoder") if part not in config]
    if missing:
        raise BadConfig(f"{name} has no {', '.join(missing)}; its stage `joint` has all parts")
    return export.Weights(draw(config), {"model": config, "symbols": list(SYMBOLS)})


def draw(config: dict[str, Any], seed: int = 0) -> dict[str, Any]:
    """Parameters for every part; small numbers that keep activations finite."""
    machine = model.build(config)
    image = jnp.zeros((1, config["size"], config["size"], 3))
    tokens, lengths = jnp.ones((1, 4), jnp.int32), jnp.array([4])
    key = jax.random.key(0)
    shapes = jax.eval_shape(
        lambda: machine.init(key, image, tokens, lengths, method=_everything)["params"]
    )
    rng = np.random.default_rng(seed)

    def leaf(path: Any, shape: jax.ShapeDtypeStruct) -> np.ndarray:
        noise = rng.normal(size=shape.shape).astype(np.float32)
        if path[-1].key == "scale":
            return 1 + 0.1 * noise
        return noise / np.sqrt(np.prod(shape.shape[:-1])) if noise.ndim > 1 else 0.1 * noise

    return jax.tree_util.tree_map_with_path(leaf, shapes)


def _everything(
    machine: model.FaceSpeak,
    image: Float[Array, "b h w 3"],
    tokens: Int[Array, "b l"],
    lengths: Int[Array, " b"],
) -> None:
    """Calls every part once, so that all parameters come to be."""
    style, pyramid = machine.encode(image)
    motion = machine.split(style)
    slot = motion.identity[:, None, :]
    machine.render(image, pyramid, motion.motion, slot, slot)
    code = machine.voice(motion.identity)
    features, prior = machine.text(tokens, lengths, code)
    machine.log_durations(features, lengths, code)
    spans = jnp.full(tokens.shape, _MELS // tokens.shape[1], jnp.int32)
    features, prior = (timing.upsample(x, spans, _MELS) for x in (features, prior))
    text = jnp.concatenate([prior, features], axis=-1)
    mels = jnp.full((len(tokens),), _MELS, jnp.int32)
    frames = mels // MELS_PER_FRAME
    machine.mel_velocity(prior, jnp.zeros(len(tokens)), text, code, mels)
    machine.vocode(prior, mels)
    machine.lips(features, prior, energy(prior), motion.alpha_lip, frames)
    heads = jnp.repeat(motion.alpha_head[:, None], _MELS // MELS_PER_FRAME, axis=1)
    codes = machine.reduce(heads, frames)
    machine.restore(codes, motion.alpha_head, frames)
    mean = machine.motion_mean(features[:, ::MELS_PER_FRAME], motion.alpha_head, frames)
    history = jnp.zeros((len(tokens), 8, mean.shape[-1]))
    machine.motion_velocity(mean, jnp.zeros(len(tokens)), mean, motion.alpha_head, history, frames)
