"""How long each phoneme lasts: a predictor, the alignment it can learn from, the stretched text.

Durations are whole mel frames (10 ms). The predictor works with log(1 + d): a word boundary without
a pause has d = 0.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Int32

from facespeak_jax import layers
from facespeak_jax.rates import MELS_PER_FRAME


class DurationPredictor(nn.Module):
    """log(1 + duration) of every phoneme; its gradient does not reach the text encoder."""

    width: int = 160
    depth: int = 2
    kernel: int = 3
    dropout: float = 0.2
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        e_t: Float[Array, "b l c"],
        lengths: Int[Array, " b"],
        code: Float[Array, "b v"],
        *,
        train: bool = False,
    ) -> Float[Array, "b l"]:
        valid = layers.mask(lengths, e_t.shape[1])
        x = jax.lax.stop_gradient(e_t)
        for index in range(self.depth):
            x = layers.Conv1d(self.width, self.kernel, dtype=self.dtype, name=f"conv_{index}")(
                x, valid
            )
            x = layers.AdaptiveNorm(dtype=self.dtype, name=f"norm_{index}")(nn.gelu(x), code)
            x = nn.Dropout(self.dropout)(x, deterministic=not train)
        log_d = nn.Dense(1, name="out")(x.astype(jnp.float32))[:, :, 0]
        return jnp.where(valid, log_d, 0.0)


def to_log(durations: Int[Array, "b l"]) -> Float[Array, "b l"]:
    """Mel frames to what the predictor predicts."""
    return jnp.log1p(durations.astype(jnp.float32))


def to_frames(
    log_d: Float[Array, "b l"], lengths: Int[Array, " b"], pace: float = 1.0
) -> Int32[Array, "b l"]:
    """Predicted durations to whole mel frames, `pace` times as fast.

    The ends of phonemes are rounded, not the durations, so that no error adds up; the last phoneme
    is stretched to make the sum a multiple of four (whole video frames), at least four.
    """
    valid = layers.mask(lengths, log_d.shape[1])
    spans = jnp.where(valid, jnp.maximum(jnp.expm1(log_d), 0.0) / pace, 0.0)
    ends = jnp.floor(jnp.cumsum(spans, axis=1) + 0.5).astype(jnp.int32)
    whole = jnp.maximum(-(-ends[:, -1:] // MELS_PER_FRAME), 1) * MELS_PER_FRAME
    last = jnp.arange(log_d.shape[1])[None, :] >= lengths[:, None] - 1
    ends = jnp.where(last, whole, ends)
    return jnp.diff(ends, axis=1, prepend=0)


def log_prior(prior: Float[Array, "b l k"], mel: Float[Array, "b m k"]) -> Float[Array, "b l m"]:
    """Log density, but for a constant, of each frame under a unit normal around each prior."""
    product = jnp.einsum("blk,bmk->blm", prior, mel, precision="highest")
    phoneme = 0.5 * jnp.sum(jnp.square(prior), axis=-1)
    frame = 0.5 * jnp.sum(jnp.square(mel), axis=-1)
    return product - phoneme[:, :, None] - frame[:, None, :]


def _path(score: Float[Array, "l m"], length: Array, frames: Array) -> Bool[Array, "l m"]:
    """The best monotonic path of one utterance (see `maximum_path`)."""
    token = jnp.arange(score.shape[0])

    def forward(best: Array, column: tuple[Array, Array]) -> tuple[Array, Array]:
        score, frame = column
        before = jnp.concatenate([jnp.array([-jnp.inf]), best[:-1]])
        advance = before > best  # a tie stays with the phoneme
        reached = jnp.where(frame == 0, token == 0, (token <= frame) & (token < length))
        total = score + jnp.where(frame == 0, 0.0, jnp.maximum(before, best))
        return jnp.where(reached, total, -jnp.inf), advance

    def backward(current: Array, column: tuple[Array, Array]) -> tuple[Array, Array]:
        advance, frame = column
        inside = frame < frames
        here = (token == current) & inside
        back = inside & advance[current] & (current > 0)
        return current - back, here

    columns = jnp.arange(score.shape[1])
    start = jnp.full(score.shape[:1], -jnp.inf, score.dtype)
    _, advance = jax.lax.scan(forward, start, (score.T, columns))
    _, path = jax.lax.scan(backward, length - 1, (advance, columns), reverse=True)
    return path.T


def maximum_path(
    log_prior: Float[Array, "b l m"], lengths: Int[Array, " b"], mel_lengths: Int[Array, " b"]
) -> Float[Array, "b l m"]:
    """The monotonic alignment of greatest total log prior, as zeros and ones; no gradient.

    Frame 0 belongs to the first phoneme, the last frame to the last one, and each phoneme has at
    least one frame, so an utterance needs lengths <= mel_lengths. Kim et al. 2020, "Glow-TTS". One
    scan over the frames forth and one back, all utterances side by side.
    """
    score = jax.lax.stop_gradient(log_prior.astype(jnp.float32))
    return jax.vmap(_path)(score, lengths, mel_lengths).astype(jnp.float32)


def window(spans: Int[Array, "b l"], start: Int[Array, " b"], frames: int) -> Int[Array, "b l"]:
    """How many of the frames [start, start + frames) each phoneme has.

    Upsampling with these gives that stretch of what the whole durations give.
    """
    ends = jnp.clip(jnp.cumsum(spans, axis=1) - start[:, None], 0, frames)
    return jnp.diff(ends, axis=1, prepend=0)


def upsample(
    x: Float[Array, "b l c"], durations: Int[Array, "b l"], m: int
) -> Float[Array, "b {m} c"]:
    """Each phoneme's features repeated for its duration; zeros from the last one's end to m."""
    ends = jnp.cumsum(durations, axis=1)
    frame = jnp.arange(m)
    index = jnp.sum(ends[:, None, :] <= frame[None, :, None], axis=-1)
    repeated = jax.vmap(lambda row, i: row.at[i].get(mode="clip"))(x, index)
    return layers.hide(repeated, frame[None, :] < ends[:, -1:])
