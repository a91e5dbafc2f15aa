"""The sync expert: do these five mouth crops and these twenty mel frames (0.2 s) belong together?

Two small networks put both into one space, where the cosine of a true pair is high. After Chung &
Zisserman 2016, "Out of Time", and the paper's L_sync; trained by this project on its own 100 Hz
mel.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from facespeak_jax import layers, rates

SYNC_FRAMES = 5
SYNC_MELS = SYNC_FRAMES * rates.MELS_PER_FRAME
EPSILON = 1e-6


def _tents(
    low: Float[Array, " n"], high: Float[Array, " n"], size: int, extent: int
) -> Float[Array, "n {size} {extent}"]:
    """Bilinear weights of `size` sample points over `extent` pixels; rows sum to 1.

    Points sit at the centres of `size` equal cells between low and high (fractions of the axis,
    pixel centres at (i + 0.5)/extent). Cells wider than a pixel average what they cover.
    """
    cell = (high - low) * extent / size
    steps = jnp.arange(size, dtype=jnp.float32) + 0.5
    point = low[:, None] * extent + steps[None, :] * cell[:, None] - 0.5
    point = jnp.clip(point, 0.0, extent - 1.0)
    distance = jnp.abs(point[:, :, None] - jnp.arange(extent, dtype=jnp.float32)[None, None, :])
    weight = jnp.maximum(1.0 - distance / jnp.maximum(cell, 1.0)[:, None, None], 0.0)
    return weight / jnp.maximum(jnp.sum(weight, axis=-1, keepdims=True), EPSILON)


def crop(
    images: Float[Array, "n h w c"], boxes: Float[Array, "n 4"], size: int
) -> Float[Array, "n {size} {size} c"]:
    """The part of each image inside its box (x0, y0, x1, y1 in [0, 1]), resampled to size x size.

    Bilinear and differentiable in the images and the boxes; outside the image its edge is repeated.
    """
    rows = _tents(boxes[:, 1], boxes[:, 3], size, images.shape[1])
    columns = _tents(boxes[:, 0], boxes[:, 2], size, images.shape[2])
    return jnp.einsum("nyh,nhwc,nxw->nyxc", rows, images, columns)


def square(boxes: Float[Array, "n 4"], scale: float = 1.0) -> Float[Array, "n 4"]:
    """The square around each box's centre whose side is the box's longer side times `scale`."""
    centre = 0.5 * (boxes[:, :2] + boxes[:, 2:])
    half = 0.5 * scale * jnp.max(boxes[:, 2:] - boxes[:, :2], axis=-1, keepdims=True)
    return jnp.concatenate([centre - half, centre + half], axis=-1)


def mouth_crops(
    frames: Float[Array, "b f h w 3"], boxes: Float[Array, "b f 4"], size: int
) -> Float[Array, "b f {size} {size} 3"]:
    """Mouth crops of a few successive frames, all cut by the mean of their boxes.

    One square for all of them: a box that followed the lips would hide how they move.
    """
    b, f, h, w, c = frames.shape
    box = jnp.repeat(square(jnp.mean(boxes, axis=1), 1.3), f, axis=0)
    return crop(frames.reshape(b * f, h, w, c), box, size).reshape(b, f, size, size, c)


class FaceTower(nn.Module):
    """Mouth crops (b, frames, h, w, 3) in [-1, 1] -> (b, features)."""

    features: int
    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, crops: Float[Array, "b f h w 3"]) -> Float[Array, "b {self.features}"]:
        b, f, h, w, c = crops.shape
        x = jnp.moveaxis(crops, 1, 3).reshape(b, h, w, f * c)
        for index, (scale, kernel) in enumerate(((1, 5), (2, 3), (4, 3), (4, 3))):
            width = scale * self.width
            name = f"level_{index}"
            x = nn.Conv(width, (kernel, kernel), (2, 2), dtype=self.dtype, name=name)(x)
            x = nn.silu(nn.GroupNorm(8, dtype=self.dtype, name=f"{name}_norm")(x))
            y = nn.Conv(width, (3, 3), dtype=self.dtype, name=f"{name}_residual")(x)
            x = x + nn.silu(nn.GroupNorm(8, dtype=self.dtype, name=f"{name}_residual_norm")(y))
        return nn.Dense(self.features, name="leave")(x.reshape(b, -1).astype(jnp.float32))


class SpeechTower(nn.Module):
    """Normalised log-mel (b, frames, 80) -> (b, features)."""

    features: int
    width: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, mel: Float[Array, "b m k"]) -> Float[Array, "b {self.features}"]:
        b, m, _ = mel.shape
        x, valid = mel, jnp.ones((b, m), bool)
        for index, stride in enumerate((1, 2, 2)):
            name = f"level_{index}"
            x = layers.Conv1d(4 * self.width, 3, stride, dtype=self.dtype, name=name)(x, valid)
            valid = valid[:, ::stride]
            x = nn.silu(layers.GroupNorm(8, dtype=self.dtype, name=f"{name}_norm")(x, valid))
            y = layers.Conv1d(4 * self.width, 3, dtype=self.dtype, name=f"{name}_residual")(
                x, valid
            )
            y = layers.GroupNorm(8, dtype=self.dtype, name=f"{name}_residual_norm")(y, valid)
            x = x + nn.silu(y)
        return nn.Dense(self.features, name="leave")(x.reshape(b, -1).astype(jnp.float32))


class SyncExpert(nn.Module):
    """Embeddings of five mouth crops and of twenty mel frames, unit length each, in one space.

    A logit of "in sync" is the cosine times a learned scale plus a learned offset; crops are size x
    size.
    """

    size: int = 48
    features: int = 128
    width: int = 24
    dtype: Any = jnp.float32

    def setup(self) -> None:
        self.face_tower = FaceTower(self.features, self.width, self.dtype)
        self.speech_tower = SpeechTower(self.features, self.width, self.dtype)
        self.log_scale = self.param("log_scale", nn.initializers.constant(1.6), ())
        self.offset = self.param("offset", nn.initializers.zeros, ())

    def face(
        self, crops: Float[Array, "b f {self.size} {self.size} 3"]
    ) -> Float[Array, "b {self.features}"]:
        """Unit embedding of mouth crops in [-1, 1]."""
        return _unit(self.face_tower(crops))

    def speech(self, mel: Float[Array, "b m k"]) -> Float[Array, "b {self.features}"]:
        """Unit embedding of normalised log-mel frames."""
        return _unit(self.speech_tower(mel))

    def logit(
        self, face: Float[Array, "*b {self.features}"], speech: Float[Array, "*b {self.features}"]
    ) -> Float[Array, "*b"]:
        """Log-odds that two embeddings belong together."""
        return jnp.exp(self.log_scale) * jnp.sum(face * speech, axis=-1) + self.offset

    def __call__(
        self, crops: Float[Array, "b f {self.size} {self.size} 3"], mel: Float[Array, "b m k"]
    ) -> Float[Array, " b"]:
        """Log-odds that crops and mel frames belong together."""
        return self.logit(self.face(crops), self.speech(mel))


def _unit(x: Float[Array, "b c"]) -> Float[Array, "b c"]:
    return x / jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + EPSILON)
