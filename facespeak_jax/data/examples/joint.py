"""Examples of the joint stage: a sentence, who says it, a stretch of its frames, and a portrait."""

import dataclasses

import numpy as np

from facespeak_jax.data.examples.motion import HISTORY, stretch
from facespeak_jax.data.examples.speech import SpeechExamples
from facespeak_jax.data.examples.sync import FRAMES, pictures
from facespeak_jax.data.pipeline import Example
from facespeak_jax.data.records import Clips
from facespeak_jax.data.schema import BadExample


@dataclasses.dataclass(frozen=True)
class JointExamples:
    """Makes one example: what `spoken` makes of a clip, and a stretch of `frames` of its pictures.

    The stretch holds the HISTORY frames that the motion sampler may look back on.
    """

    spoken: SpeechExamples
    frames: int = 48

    def __call__(self, clips: Clips, rng: np.random.Generator, position: int) -> Example:
        """The sentence, and uint8 pictures of it:

        `frames` (t, size, size, 3) with `first` (), their place in the clip, and `frame_count` ();
        `shown` () the place in the stretch of the FRAMES that are rendered, after its history, and
        `mouth_box`, `eye_box` (FRAMES, 4) of those; `source` (size, size, 3), a portrait from any
        moment of the clip. Raises BadExample.
        """
        clip = clips[position]
        available = len(clip.frames)
        if available < HISTORY + FRAMES:
            raise BadExample(f"clip {clip.clip_id!r} has only {available} frames")
        example = self.spoken(clips, rng, position)
        first, count = stretch(rng, available, self.frames, self.frames)
        shown = int(rng.integers(HISTORY, count - FRAMES + 1))
        rows = first + np.arange(self.frames).clip(0, count - 1)
        size = self.spoken.size
        boxes = slice(first + shown, first + shown + FRAMES)
        return example | {
            "frames": pictures([clip.frames[row] for row in rows], size),
            "first": np.int32(first),
            "frame_count": np.int32(count),
            "shown": np.int32(shown),
            "mouth_box": clip.mouth_box[boxes],
            "eye_box": clip.eye_box[boxes],
            "source": pictures([clip.frames[rng.integers(available)]], size)[0],
        }
