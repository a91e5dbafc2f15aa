"""The `voices` corpus: many more people of the kind of `heads`, heard but hardly seen.

How to say words in a voice is learned from what is said, not from who is filmed: one picture of
each person stands for all frames, so that a clip costs little more than its sound. For the speech
and vocoder stages; no face moves here for others to learn from.
"""

from typing import ClassVar

import numpy as np

from facespeak_jax.data import schema
from facespeak_jax.data.heads.appearance import draw_scene
from facespeak_jax.data.heads.builder import Corpus, heard, number, say, who
from facespeak_jax.data.heads.render import HeadRenderer
from facespeak_jax.data.heads.units import ARKIT
from facespeak_jax.rates import SAMPLES_PER_FRAME

# People are counted from here, so that nobody lives in `heads` or `faces` of the same seed too.
_ABROAD = 2 * 10**6


class Voices(Corpus):
    """Which clips there are: as of `heads`, with people who are in no `heads` of any seed."""

    name: ClassVar[str] = "voices"

    def clip(self, person: int, index: int) -> schema.Clip:
        """One clip of the corpus: the same arguments always give the same bytes."""
        return make_voice(self.seed, person, index, self.size, self.text(person, index))


def make_voice(seed: int, person: int, index: int, size: int, text: str) -> schema.Clip:
    """A person at rest is heard saying a text: a pure function of its arguments.

    Pictures are size × size, the same for every frame; pose and face units are unknown. Raises
    AssetMissing, TooLong and the errors of the text front end.
    """
    identity, voice = who(seed, _ABROAD + person)
    phonemes, speech = say(text, voice)
    renderer = HeadRenderer(identity, draw_scene(number(seed, _ABROAD + person, index)), size)
    still = renderer.render(np.zeros(3, np.float32), np.zeros(len(ARKIT), np.float32))
    frames = len(speech.wave) // SAMPLES_PER_FRAME
    speaker = f"voices-{seed}-{person:05d}"
    return schema.Clip(
        clip_id=f"{speaker}-{index:03d}",
        speaker=speaker,
        voice=voice.coordinates,
        **heard(text, phonemes, speech),
        frames=[schema.encode_image(still.image)] * frames,
        mouth_box=_still(still.mouth_box, frames),
        eye_box=_still(still.eye_box, frames),
        landmarks=_still(still.landmarks, frames),
    )


def _still(value: np.ndarray, frames: int) -> np.ndarray:
    return np.repeat(np.asarray(value, np.float32)[None], frames, axis=0)
