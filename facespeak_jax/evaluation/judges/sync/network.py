"""The sync judge's network: where mouth and sound are alike, they belong together.

Nothing like the expert of the losses (`motion/sync.py`, which sees five frames as the colours of
one picture and is asked yes or no): each grey frame passes a residual network by itself, time comes
in only afterwards, the spectrogram is looked at as a picture, and all moments of a clip are
compared with each other at once. After Chung, Chung & Kang 2019, "Perfect Match".
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from facespeak_jax.rates import MELS_PER_FRAME

FRAMES = 5  # that one moment takes in: 0.2 s
SIZE = 48  # pixels of a mouth's side
_LEVELS = (1, 2, 4, 4)  # times the width
_MEAN, _DEVIATION = -6.0, 3.0  # of log-mels, about


class _Level(nn.Module):
    """A strided convolution, then a residual one: (n, h, w, c) to (n, h/s, w/s', features)."""

    features: int
    strides: tuple[int, int]
    mixed: tuple[int, int] = (3, 3)

    @nn.compact
    def __call__(self, x: Float[Array, "n h w c"]) -> Float[Array, "n i j {self.features}"]:
        x = nn.Conv(self.features, (3, 3), self.strides, name="down")(x)
        y = nn.Conv(self.features, self.mixed, name="mix")(nn.silu(nn.LayerNorm(name="norm")(x)))
        return x + y


class _Moments(nn.Module):
    """Features of T frames to embeddings of the T − 4 moments, FRAMES frames each."""

    features: int
    dropout: float

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], *, train: bool
    ) -> Float[Array, "b n {self.features}"]:
        x = nn.silu(nn.LayerNorm(name="norm")(x))
        # A feature is gone from the whole clip, or its neighbours in time would tell it.
        x = nn.Dropout(self.dropout, broadcast_dims=(1,))(x, deterministic=not train)
        x = nn.silu(nn.Conv(2 * self.features, (FRAMES,), padding="VALID", name="time")(x))
        return nn.Dense(self.features, name="leave")(x)


class SyncNetwork(nn.Module):
    """Mouths (b, t, SIZE, SIZE) in [0, 1] and log-mels (b, 4·t, 80) to embeddings of moments."""

    features: int = 64
    width: int = 16
    dropout: float = 0.2

    def setup(self) -> None:
        wide = [self.width * times for times in _LEVELS]
        self.seen = [_Level(features, (2, 2)) for features in wide]
        # Mixed along the pitch alone: a moment hears little beyond its own frames.
        strides = ((1, 2), (2, 2), (2, 2), (1, 2))  # time and pitch: 100 Hz to 25 Hz
        levels = zip(wide, strides, strict=True)
        self.heard = [_Level(features, by, (1, 3)) for features, by in levels]
        self.seen_frame = nn.Dense(2 * self.features)
        self.heard_frame = nn.Dense(2 * self.features)
        self.mouth, self.sound = (_Moments(self.features, self.dropout) for _ in range(2))
        self.log_scale = self.param("log_scale", nn.initializers.constant(2.0), ())

    def watch(
        self, mouths: Float[Array, "b t h w"], *, train: bool = False
    ) -> Float[Array, "b n {self.features}"]:
        """Each moment of the picture."""
        b, t, h, w = mouths.shape
        x = 2.0 * mouths.reshape(b * t, h, w, 1) - 1.0
        for level in self.seen:
            x = level(x)
        return self.mouth(self.seen_frame(x.reshape(b, t, -1)), train=train)

    def listen(
        self, mel: Float[Array, "b m k"], *, train: bool = False
    ) -> Float[Array, "b n {self.features}"]:
        """Each moment of the sound."""
        b, m, _ = mel.shape
        x = ((mel - _MEAN) / _DEVIATION)[..., None]
        for level in self.heard:
            x = level(x)
        return self.sound(self.heard_frame(x.reshape(b, m // MELS_PER_FRAME, -1)), train=train)

    def __call__(
        self, mouths: Float[Array, "b t h w"], mel: Float[Array, "b m k"], *, train: bool = False
    ) -> Float[Array, "b n n"]:
        """How alike each moment of the picture (rows) is to each of the sound, as logits."""
        seen = placed(self.watch(mouths, train=train))
        heard = placed(self.listen(mel, train=train))
        alike: Any = jnp.einsum("bnd,bmd->bnm", seen, heard)
        return jnp.exp(jnp.minimum(self.log_scale, 4.0)) * alike


def placed(moments: Float[Array, "*b n d"]) -> Float[Array, "*b n d"]:
    """A clip's embeddings at unit length around their mean: who speaks, in what light and how loud,
    says nothing about when. Zeros where nothing changes."""
    x = moments - jnp.mean(moments, axis=-2, keepdims=True)
    return x / jnp.sqrt(jnp.sum(jnp.square(x), axis=-1, keepdims=True) + 1e-8)


def middle(mouths: Num[Array, "*b h w"], size: int) -> Num[Array, "*b {size} {size}"]:
    """The inner size × size pixels."""
    edge = (mouths.shape[-1] - size) // 2
    return mouths[..., edge : edge + size, edge : edge + size]


def matching_loss(logits: Float[Array, "b n n"]) -> Float[Array, ""]:
    """Cross-entropy of finding each picture's own sound in its clip, and each sound's picture."""
    by_sound, by_picture = (jax.nn.log_softmax(logits, axis=axis) for axis in (2, 1))
    own = jnp.diagonal(by_sound + by_picture, axis1=1, axis2=2)
    return -0.5 * jnp.mean(own)


def found_within(logits: Float[Array, "b n n"], frames: int) -> Float[Array, ""]:
    """Share of moments whose most alike sound is at most so many frames away."""
    best = jnp.argmax(logits, axis=2)
    away = jnp.abs(best - jnp.arange(logits.shape[1])[None, :])
    return jnp.mean(away <= frames, dtype=jnp.float32)
