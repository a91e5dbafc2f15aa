"""Examples of the vocoder stage: a short piece of a clip's sound."""

import dataclasses

import numpy as np

from facespeak_jax.data.pipeline import Example
from facespeak_jax.data.records import Clips
from facespeak_jax.data.schema import BadExample
from facespeak_jax.rates import HOP

MARGIN = 2  # mel frames on either side, so that the frames inside see no cut


@dataclasses.dataclass(frozen=True)
class VocoderExamples:
    """Makes one example of `frames` mel frames from anywhere in a clip, at a random loudness."""

    frames: int
    quietest: float = 0.4  # gain; the loudest is 1

    def __call__(self, clips: Clips, rng: np.random.Generator, position: int) -> Example:
        """`wave` float32 (160·(frames + 2·MARGIN),) in [-1, 1].

        Raises BadExample for a clip that is shorter.
        """
        clip = clips[position]
        samples = HOP * self.frames
        if len(clip.audio) < samples:
            raise BadExample(
                f"clip {clip.clip_id!r} has {len(clip.audio)} samples, fewer than {samples}"
            )
        padded = np.pad(clip.audio, HOP * MARGIN, mode="reflect")
        start = int(rng.integers(len(clip.audio) - samples + 1))
        piece = padded[start : start + samples + 2 * HOP * MARGIN].astype(np.float32) / 32768.0
        return {"wave": piece * np.float32(rng.uniform(self.quietest, 1.0))}
