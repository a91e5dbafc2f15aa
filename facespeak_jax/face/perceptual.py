"""A perceptual distance whose network comes from a file; none is shipped.

The file is a safetensors with `mean` and `std` (3,) of RGB in [0, 1] and, for block i = 1, 2, … and
layer j = 1, 2, …, `block{i}_conv{j}/kernel` (3, 3, in, out) and `/bias` (out,): the shape of a VGG
network (Simonyan and Zisserman 2015). Blocks are compared at their last activation.
"""

import pathlib
import re
from collections.abc import Iterable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from safetensors.numpy import load_file

from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.face.convolution import halve

_KERNEL = re.compile(r"block(\d+)_conv(\d+)/kernel")


class BadPerceptualWeights(FaceSpeakError):
    """The file of the perceptual network is missing or is not what its name says."""


def load(path: str) -> dict[str, np.ndarray]:
    """Reads the weights. Raises BadPerceptualWeights."""
    if not pathlib.Path(path).is_file():
        raise BadPerceptualWeights(
            f"no file {path}; leave loss.perceptual_weights empty to train without one"
        )
    weights = load_file(path)
    if not {"mean", "std"} <= weights.keys() or not _kernels(weights):
        raise BadPerceptualWeights(
            f"{path} has {sorted(weights)[:6]}…; expected mean, std, block1_conv1/kernel, …"
        )
    return weights


def _kernels(weights: Iterable[str]) -> list[tuple[int, int]]:
    matches = (_KERNEL.fullmatch(name) for name in weights)
    return sorted((int(m[1]), int(m[2])) for m in matches if m)


def distance(
    weights: dict[str, Array], one: Float[Array, "n h w 3"], other: Float[Array, "n h w 3"]
) -> Float[Array, ""]:
    """Mean over blocks of the L1 between activations; images in [−1, 1]."""
    n = one.shape[0]
    mean, std = (jnp.asarray(weights[name])[None, None, None, :] for name in ("mean", "std"))
    x = (0.5 + 0.5 * jnp.concatenate([one, other]) - mean) / std
    total, blocks = jnp.float32(0), 0
    layers = _kernels(weights)
    for index, (block, layer) in enumerate(layers):
        name = f"block{block}_conv{layer}"
        x = jax.lax.conv_general_dilated(
            x, weights[f"{name}/kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = nn.relu(x + weights[f"{name}/bias"][None, None, None, :])
        if index + 1 == len(layers) or layers[index + 1][0] != block:
            total, blocks = total + jnp.abs(x[:n] - x[n:]).mean(), blocks + 1
            x = halve(x)
    return total / blocks
