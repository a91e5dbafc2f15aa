"""Examples of the speech stage: a sentence, its sound, and a picture of who says it."""

import dataclasses

import numpy as np
from jaxtyping import UInt8

from facespeak_jax.data.examples.disguise import colour_change, disguised, recoloured
from facespeak_jax.data.examples.phonemes import padded, tokens
from facespeak_jax.data.pipeline import Example
from facespeak_jax.data.records import Clips
from facespeak_jax.data.schema import VOICE, BadExample, Clip, decode_image
from facespeak_jax.face.portrait import Square, cut
from facespeak_jax.rates import HOP, MELS_PER_FRAME


@dataclasses.dataclass(frozen=True)
class SpeechExamples:
    """Makes one example of a whole sentence, padded to one bucket.

    The picture comes from another clip of the person where there is one, and is changed in every
    way that leaves the person the same, so that neither the wall nor the light nor the pose can
    tell the voice.
    """

    size: int  # pixels
    tokens: int  # phonemes of the bucket
    mels: int  # mel frames of the bucket
    crop: int  # mel frames the decoder sees
    strength: float = 1.0  # of the picture's changes; 0 switches them off

    def __call__(self, clips: Clips, rng: np.random.Generator, position: int) -> Example:
        """The sentence, its sound and the picture:

        `tokens` (tokens,), `length`; `durations` (tokens,) in mel frames and `timed` whether they
        are known; `wave` int16 (160·mels,), `mel_length`, `start` of the crop; `identity` uint8
        (size, size, 3); `voice` (16,) and `voiced` whether it is known. Raises BadExample for a
        clip that does not fit the bucket or has no pictures.
        """
        clip = clips[position]
        if not clip.frames:
            raise BadExample(f"clip {clip.clip_id!r} has no pictures")
        symbols = tokens(clip, self.tokens)
        m = MELS_PER_FRAME * len(clip.frames)
        if m > self.mels:
            raise BadExample(f"clip {clip.clip_id!r} has {m} mel frames, limit {self.mels}")
        if not len(clip.durations) and len(symbols) > m:
            raise BadExample(f"clip {clip.clip_id!r} has more phonemes than mel frames")
        last = max(m - self.crop, 0) // MELS_PER_FRAME
        return {
            "tokens": padded(symbols, self.tokens),
            "length": np.int32(len(symbols)),
            "durations": padded(clip.durations, self.tokens),
            "timed": np.bool_(len(clip.durations) > 0),
            "wave": np.pad(clip.audio, (0, HOP * self.mels - len(clip.audio))),
            "mel_length": np.int32(m),
            "start": np.int32(MELS_PER_FRAME * rng.integers(last + 1)),
            "identity": self._picture(clips, clip, rng, position),
            "voice": clip.voice if len(clip.voice) else np.zeros(VOICE, np.float32),
            "voiced": np.bool_(len(clip.voice) > 0),
        }

    def _picture(
        self, clips: Clips, clip: Clip, rng: np.random.Generator, position: int
    ) -> UInt8[np.ndarray, "{self.size} {self.size} 3"]:
        others = clips.by_speaker(clip.speaker)
        others = others[others != position]
        source = clips[int(rng.choice(others))] if len(others) else clip
        image = decode_image(source.frames[rng.integers(len(source.frames))])
        image = cut(image, _square(image.shape[0], rng, self.strength), self.size)
        if not self.strength:
            return image
        if rng.random() < 0.5:
            image = image[:, ::-1]
        image = recoloured(image, colour_change(rng, 1.5 * self.strength))
        return disguised(image, rng, self.strength)


def _square(side: int, rng: np.random.Generator, strength: float) -> Square:
    """Nearly the whole frame: a slightly other place and size, in pixels."""
    zoom = 1.0 + 0.08 * strength * rng.uniform(-1, 1)
    x, y = side / 2 + 0.05 * strength * side * rng.uniform(-1, 1, size=2)
    return Square(float(x), float(y), float(side * zoom))
