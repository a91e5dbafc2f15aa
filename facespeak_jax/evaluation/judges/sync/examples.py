"""Examples of the sync judge's training: a stretch of mouths and its sound."""

import dataclasses
import functools

import numpy as np
from jaxtyping import UInt8

from facespeak_jax.data.examples.sync import waveform
from facespeak_jax.data.pipeline import Example
from facespeak_jax.data.records import Clips
from facespeak_jax.data.schema import BadExample, Clip, decode_image
from facespeak_jax.evaluation.judges.sync import mouths


class MomentExamples:
    """Makes `mouths` uint8 (frames, 56, 56) and `waves` ((frames + 2) · 640,) of one stretch.

    Every clip's mouths are cut out once and kept: 3 kB a frame, where decoding takes longer than a
    step of training.
    """

    def __init__(self, frames: int):
        self.frames = frames
        self._ready = functools.lru_cache(maxsize=None)(_ready)  # a cache of this maker's own

    def __call__(self, clips: Clips, rng: np.random.Generator, position: int) -> Example:
        """Raises BadExample for a clip that is shorter than a stretch."""
        if clips.lengths[position] < self.frames:
            raise BadExample(
                f"clip {clips.clip_ids[position]!r} has {clips.lengths[position]} frames, and "
                f"{self.frames} are compared"
            )
        found, clip = self._ready(clips, position)
        start = int(rng.integers(len(found) - self.frames + 1))
        return {
            "mouths": found[start : start + self.frames],
            "waves": waveform(clip, start, self.frames),
        }


def _ready(clips: Clips, position: int) -> tuple[UInt8[np.ndarray, "t s s"], Clip]:
    """The mouths of a clip, and the clip without its pictures."""
    clip = clips[position]
    frames = np.stack([decode_image(frame) for frame in clip.frames])
    found = mouths.cut(frames, clip.landmarks.astype(np.float64))
    return found, dataclasses.replace(clip, frames=[], crossed_frames=[])
