"""Examples of the sync stage: five frames, their sound, and the sound of other moments."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from facespeak_jax.data.pipeline import Example
from facespeak_jax.data.records import Clips
from facespeak_jax.data.schema import BadExample, Clip, decode_image
from facespeak_jax.rates import SAMPLES_PER_FRAME

FRAMES = 5  # of one judgement: 0.2 s
GAP = 3  # frames at least between a moment and one that is called out of sync


def waveform(clip: Clip, start: int, frames: int, margin: int = 1) -> Float32[np.ndarray, " n"]:
    """The sound of `frames` video frames from `start` on, with `margin` frames more at either side,
    in [-1, 1].

    The clip is mirrored at its ends as the log-mel would, so that the mel frames inside are those
    of the whole clip.
    """
    extra = margin * SAMPLES_PER_FRAME
    padded = np.pad(clip.audio.astype(np.float32) / 32768.0, extra, mode="reflect")
    first = start * SAMPLES_PER_FRAME
    return padded[first : first + frames * SAMPLES_PER_FRAME + 2 * extra]


def pictures(encoded: Sequence[bytes], size: int) -> UInt8[np.ndarray, "t s s 3"]:
    """Encoded frames as pictures of size x size. Raises BadExample if one cannot be decoded."""
    frames = [decode_image(frame) for frame in encoded]
    if any(frame.shape[:2] != (size, size) for frame in frames):
        frames = [
            np.asarray(Image.fromarray(frame).resize((size, size), Image.Resampling.LANCZOS))
            for frame in frames
        ]
    return np.stack(frames)


@dataclasses.dataclass(frozen=True)
class SyncExamples:
    """Makes one example of a moment of a clip and of `negatives` other moments of the same clip."""

    size: int
    negatives: int = 3

    def __call__(self, clips: Clips, rng: np.random.Generator, position: int) -> Example:
        """`frames` uint8 (5, size, size, 3), `mouth_box` (5, 4), `waves` (1 + negatives, 7 * 640),
        the true one first.

        Half of the wrong moments are at most a second away: the hard ones. Raises BadExample for a
        clip too short to have another moment everywhere.
        """
        clip = clips[position]
        last = len(clip.frames) - FRAMES
        if last < 2 * GAP:
            raise BadExample(
                f"clip {clip.clip_id!r} has {len(clip.frames)} frames, too few to shift"
            )
        start = int(rng.integers(last + 1))
        moments = [start, *(_elsewhere(rng, start, last) for _ in range(self.negatives))]
        return {
            "frames": pictures(clip.frames[start : start + FRAMES], self.size),
            "mouth_box": clip.mouth_box[start : start + FRAMES],
            "waves": np.stack([waveform(clip, moment, FRAMES) for moment in moments]),
        }


def _elsewhere(rng: np.random.Generator, start: int, last: int) -> int:
    """A moment in [0, last] at least GAP frames from `start`."""
    others = np.arange(last + 1)
    distance = np.abs(others - start)
    near = others[(distance >= GAP) & (distance <= 25)]
    far = others[distance >= GAP]
    return int(rng.choice(near if rng.random() < 0.5 else far))
