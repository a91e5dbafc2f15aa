"""Examples of the motion stage: a stretch of a clip as motion coefficients, its text and its sound.

The coefficients come from a table that the stage computes once from the encoder, in
`stages/alpha_table.py`.
"""

import dataclasses

import numpy as np
from jaxtyping import Float32

from facespeak_jax.data.examples.phonemes import padded, tokens
from facespeak_jax.data.examples.sync import waveform
from facespeak_jax.data.pipeline import Example
from facespeak_jax.data.records import Clips
from facespeak_jax.data.schema import BadExample
from facespeak_jax.rates import SAMPLES_PER_FRAME

HISTORY = 8  # frames before a stretch that its example shows
SHORTEST = 16  # frames


@dataclasses.dataclass(frozen=True)
class AlphaTable:
    """What the encoder saw in every clip of a split; NaN where a clip could not be read.

    `alpha` holds the frames of all clips end to end; `identity` a few frames a clip.
    """

    alpha: np.ndarray  # float16 (sum of lengths, head + lip)
    identity: np.ndarray  # float16 (clips, k, s)
    first: np.ndarray  # int64 (clips + 1,): where the frames of each clip begin

    def of(self, position: int) -> Float32[np.ndarray, "t d"]:
        """alpha of one clip. Raises BadExample if the clip could not be read."""
        rows = self.alpha[self.first[position] : self.first[position + 1]].astype(np.float32)
        if not np.isfinite(rows).all():
            raise BadExample(f"clip {position} has no motion coefficients: it could not be read")
        return rows

    def person(self, position: int, rng: np.random.Generator) -> Float32[np.ndarray, " s"]:
        """f_id of a random frame of a clip. Raises BadExample if the clip could not be read."""
        style = self.identity[position, rng.integers(self.identity.shape[1])].astype(np.float32)
        if not np.isfinite(style).all():
            raise BadExample(f"clip {position} has no identity: it could not be read")
        return style


def stretch(
    rng: np.random.Generator, available: int, shortest: int, longest: int
) -> tuple[int, int]:
    """Start and length of a random stretch; a quarter start where the clip (and sampling) does."""
    frames = int(rng.integers(min(shortest, available), min(longest, available) + 1))
    latest = available - frames
    if latest < HISTORY or rng.random() < 0.25:
        return 0, frames
    return int(rng.integers(HISTORY, latest + 1)), frames


def person_elsewhere(clips: Clips, rng: np.random.Generator, position: int) -> int:
    """Another clip of the same speaker, or this one if it is the only one."""
    others = clips.by_speaker(clips.speaker_of[position])
    others = others[others != position]
    return int(rng.choice(others)) if len(others) else position


@dataclasses.dataclass(frozen=True)
class MotionExamples:
    """Makes one example: a stretch of `shortest` to `frames` video frames of a clip, padded to
    `frames`.

    `tables` holds the AlphaTable of every split by the name of its clips. A split without one gives
    zeros of the right shapes: that is what parameters are initialised from, before the encoder is
    there to fill the tables.
    """

    tables: dict[str, AlphaTable]
    motions: int  # head + lip directions
    style: int  # S
    shortest: int = 64
    frames: int = 128
    tokens: int = 192

    def __call__(self, clips: Clips, rng: np.random.Generator, position: int) -> Example:
        """The example; t = `frames`, l = `tokens`.

        `alpha` (HISTORY + t, head + lip), its first HISTORY rows from before the stretch if
        `has_history` (); `source` (head + lip,) of a random frame of the clip, `identity` (s,) of
        another clip of the person; `start` () and `length` () of the stretch in video frames;
        `tokens` (l,), `token_length` () and `durations` (l,) in mel frames of the whole sentence;
        `wave` ((t + 2) * 640,) with one frame around the stretch. Raises BadExample.
        """
        clip = clips[position]
        available = len(clip.frames)
        if available < SHORTEST:
            raise BadExample(f"clip {clip.clip_id!r} has {available} frames; {SHORTEST} are needed")
        alpha, identity = self._coefficients(clips, rng, position)
        symbols = tokens(clip, self.tokens)
        if not len(clip.durations):
            raise BadExample(f"clip {clip.clip_id!r} has no durations of its phonemes")
        start, frames = stretch(rng, available, self.shortest, self.frames)
        rows = np.arange(start - HISTORY, start + self.frames).clip(0, start + frames - 1)
        wave = np.zeros((self.frames + 2) * SAMPLES_PER_FRAME, np.float32)
        heard = waveform(clip, start, frames)
        wave[: len(heard)] = heard
        return {
            "alpha": alpha[rows],
            "has_history": np.bool_(start >= HISTORY),
            "source": alpha[rng.integers(available)],
            "identity": identity,
            "start": np.int32(start),
            "length": np.int32(frames),
            "tokens": padded(symbols, self.tokens),
            "token_length": np.int32(len(symbols)),
            "durations": padded(clip.durations, self.tokens),
            "wave": wave,
        }

    def _coefficients(
        self, clips: Clips, rng: np.random.Generator, position: int
    ) -> tuple[Float32[np.ndarray, "t d"], Float32[np.ndarray, " s"]]:
        if clips.name not in self.tables:
            length = int(clips.lengths[position])
            return np.zeros((length, self.motions), np.float32), np.zeros(self.style, np.float32)
        table = self.tables[clips.name]
        other = person_elsewhere(clips, rng, position)
        return table.of(position), table.person(other, rng)
