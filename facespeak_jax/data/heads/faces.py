"""The `faces` corpus: many more people of the kind of `heads`, each seen for a few frames, silent.

What a face shows of its owner is learned from people, not from hours: nobody here speaks, so that
one costs a fraction of a clip of `heads`. For the face stage; there is nothing to hear for others.
"""

from typing import ClassVar

import numpy as np

from facespeak_jax.data import schema
from facespeak_jax.data.heads.appearance import draw_scene
from facespeak_jax.data.heads.builder import Corpus, crossed, filmed, number, who
from facespeak_jax.data.heads.performance import Performance, perform
from facespeak_jax.data.heads.render import HeadRenderer
from facespeak_jax.data.heads.visemes import viseme_units
from facespeak_jax.data.heads.voice import Speech
from facespeak_jax.rates import HOP, MELS_PER_FRAME, SAMPLES_PER_FRAME
from facespeak_jax.speech.text import BOS, EOS, TextFrontEnd

FRAMES, CROSSED = 8, 4  # of a clip
# People are counted from here, so that nobody lives in `heads` of the same seed too.
_ABROAD = 10**6
_SHORTEST, _LONGEST = 6, 12  # mel frames of a mimed sound


class Faces(Corpus):
    """Which clips there are: as of `heads`, with people who are in no `heads` of any seed."""

    name: ClassVar[str] = "faces"

    def clip(self, person: int, index: int) -> schema.Clip:
        """One clip of the corpus: the same arguments always give the same bytes."""
        return make_face(self.seed, person, index, self.size, self.text(person, index))


def make_face(seed: int, person: int, index: int, size: int, text: str) -> schema.Clip:
    """`FRAMES` moments of a person who mimes a text: a pure function of its arguments.

    The clip is silent, says nothing and has no phonemes; `voice` is the one that goes with the
    face. Frames are size × size. Raises AssetMissing and the errors of the text front end.
    """
    identity, voice = who(seed, _ABROAD + person)
    rng = np.random.default_rng([seed, person, index, 0x66616365])
    motion, units = _moments(rng, TextFrontEnd().phonemize(text))
    renderer = HeadRenderer(identity, draw_scene(number(seed, _ABROAD + person, index)), size)
    speaker = f"faces-{seed}-{person:05d}"
    return schema.Clip(
        clip_id=f"{speaker}-{index:03d}",
        speaker=speaker,
        text="",
        audio=np.zeros(FRAMES * SAMPLES_PER_FRAME, np.int16),
        pose=motion.pose,
        units=units,
        voice=voice.coordinates,
        **filmed(renderer, motion, units),
        **crossed(renderer, motion, units, CROSSED, rng),
    )


def _moments(rng: np.random.Generator, phonemes: list[str]) -> tuple[Performance, np.ndarray]:
    """Head motion and all units (n, 52) of moments spread over a mimed sentence."""
    mimed = mime(rng, phonemes)
    seed = rng.integers(2**31, size=2).tolist()
    motion = perform(seed, phonemes, mimed.durations, mimed.wave)
    units = np.clip(viseme_units(phonemes, mimed.durations) + motion.units, 0, 1)
    # One moment of each eighth: a pair of them shows different mouths and poses.
    edges = np.linspace(0, len(units), FRAMES + 1)
    when = np.floor(rng.uniform(edges[:-1], edges[1:])).astype(int)
    chosen = Performance(motion.pose[when], motion.shift[when], motion.units[when])
    return chosen, units[when]


def mime(rng: np.random.Generator, phonemes: list[str]) -> Speech:
    """Phonemes without a voice: plausible lengths, and noise where there would be sound."""
    durations = rng.integers(_SHORTEST, _LONGEST + 1, size=len(phonemes)).astype(np.int32)
    durations[-1] += -durations.sum() % MELS_PER_FRAME
    # Moments are drawn from eighths of the sentence: a very short one is spoken slowly.
    slow = -(-FRAMES * MELS_PER_FRAME // int(durations.sum()))
    durations *= np.int32(slow)
    loud = [0.0 if symbol in (BOS, EOS, " ") else rng.uniform(0.3, 1) for symbol in phonemes]
    level = np.repeat(np.array(loud), durations * HOP)
    return Speech((level * rng.uniform(-1, 1, len(level))).astype(np.float32), durations)
