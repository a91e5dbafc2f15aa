"""A whole model of next to no size with random weights, as a weights directory."""

import jax
import jax.numpy as jnp
import numpy as np

from facespeak_jax import export, model
from facespeak_jax.face.encoder import COARSEST
from facespeak_jax.speech.text import SYMBOLS

SIZE = 64
WIDTHS = (16, 12, 8)
CONFIG = {
    "size": SIZE,
    "mel_mean": -5.0,
    "mel_std": 2.0,
    "encoder": {"style": 32, "widths": WIDTHS, "bottleneck": 16},
    "motion_basis": {"width": 32, "head": 6, "lip": 4},
    "generator": {
        "widths": WIDTHS,
        "flow_width": 8,
        "lip_layers": ("16b", "32b", "32flow", "image"),
    },
    "voice_reader": {"width": 16},
    "voice_code": {"size": 16},
    "text_encoder": {"symbols": len(SYMBOLS), "width": 16, "depth": 1},
    "durations": {"width": 16},
    "mel_decoder": {"width": 16, "blocks": 1, "middle": 1},
    "vocoder": {"kind": "istft", "width": 16, "depth": 1},
    "lip_mapper": {"lip": 4, "width": 16, "stages": 1},
    "reducer": {"head": 6, "latent": 3, "width": 16, "depth": 1},
    "motion_prior": {"latent": 3, "width": 16, "depth": 1},
    "motion_field": {"latent": 3, "width": 16, "depth": 1},
}
FACE = ("encoder", "motion_basis", "generator")


def write(directory, parts=None):
    """Saves the parts named, or all, and returns the directory."""
    config = {
        name: value
        for name, value in CONFIG.items()
        if parts is None or name in (*parts, *model.NUMBERS)
    }
    machine = model.build(config)
    params = {
        name: _random(getattr(machine, name), _example(name))
        for name in config
        if name not in model.NUMBERS
    }
    export.save(directory, params, {"model": config, "symbols": list(SYMBOLS)})
    return directory


def _random(part, arguments):
    """Parameters of the right shapes, drawn without compiling anything; nothing begins at zero."""
    shapes = jax.eval_shape(part.init, jax.random.key(0), *arguments)["params"]
    rng = np.random.default_rng(0)

    def draw(path, leaf):
        noise = rng.normal(size=leaf.shape).astype(np.float32)
        name = path[-1].key
        if name == "scale":
            return 1 + 0.1 * noise
        return noise / np.sqrt(np.prod(leaf.shape[:-1])) if leaf.ndim > 1 else 0.1 * noise

    return jax.tree_util.tree_map_with_path(draw, shapes)


def _example(name):
    image = jnp.zeros((1, SIZE, SIZE, 3))
    pyramid = tuple(
        jnp.zeros((1, COARSEST * 2**level, COARSEST * 2**level, width))
        for level, width in enumerate(WIDTHS)
    )
    style, slots, code = jnp.zeros((1, 32)), jnp.zeros((1, 2, 32)), jnp.zeros((1, 16))
    length = jnp.array([8])
    text, upsampled = jnp.zeros((1, 8, 16)), jnp.zeros((1, 8, 96))
    mel, head, motion = jnp.zeros((1, 8, 80)), jnp.zeros((1, 8, 6)), jnp.zeros((1, 8, 3))
    return {
        "encoder": (image,),
        "motion_basis": (style,),
        "generator": (image, pyramid, style, slots, slots),
        "voice_reader": (style,),
        "voice_code": (jnp.zeros((1, 16)),),
        "text_encoder": (jnp.zeros((1, 8), jnp.int32), length, code),
        "durations": (text, length, code),
        "mel_decoder": (mel, jnp.zeros(1), upsampled, code, length),
        "vocoder": (mel, length),
        "lip_mapper": (text, mel, jnp.zeros((1, 8)), jnp.zeros((1, 4)), jnp.array([2])),
        "reducer": (head, head[:, 0], length),
        "motion_prior": (text, head[:, 0], length),
        "motion_field": (motion, jnp.zeros(1), motion, head[:, 0], motion, length),
    }[name]
