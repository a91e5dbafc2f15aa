"""A portrait and a text, or a driving video, become a clip: what a person calls."""

import dataclasses
import functools
import math
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import jax
import numpy as np
from jaxtyping import Float, UInt8

from facespeak_jax import export, model, sampling, video
from facespeak_jax.errors import TextTooLong, WeightsIncomplete
from facespeak_jax.face import portrait, tracking
from facespeak_jax.rates import FPS, MELS_PER_FRAME, SAMPLE_RATE, SAMPLES_PER_FRAME
from facespeak_jax.speech.text import SYMBOLS, TextFrontEnd

WEIGHTS = Path(__file__).parent / "weights"

# Lengths are padded to one of these, so that few programs are compiled and the next text of a
# similar length compiles nothing.
TOKEN_BUCKETS = (64, 128, 256, 512)
FRAME_BUCKETS = (64, 96, 128, 192, 256, 384, 512, 768, 1024)
# Frames of a photograph's own resolution have a side of one of these, the nearest to it.
PHOTOGRAPH_SIDES = (128, 192, 256, 384, 512, 640, 768, 1024)
# Frames are drawn this many at a time, whatever the length: memory does not grow with it.
CHUNK = 16

Progress = Callable[[int, int], None]
Painter = Callable[[np.ndarray, np.ndarray], jax.Array]  # α_head and α_lip -> frames
Resolution = Literal["model", "source"]


@dataclasses.dataclass(frozen=True)
class Clip:
    """A finished video: T frames at 25 a second and 640·T samples at 16 kHz in [-1, 1]."""

    video: UInt8[np.ndarray, "t h w 3"]
    audio: Float[np.ndarray, " n"]
    seed: int | None = None
    fps: int = FPS
    sample_rate: int = SAMPLE_RATE

    def save(self, output: str | os.PathLike) -> Path:
        """Writes `.mp4`, `.mov`, `.wav`, or PNG frames (`.png` or a name ending in `/`).

        Returns:
          The path written; the same clip gives the same bytes.

        Raises:
          UnknownOutput, OutputExists.
        """
        return video.save(output, self.video, self.audio)


class FaceSpeaker:
    """Trained weights, ready to speak or to be driven; made by `load`."""

    def __init__(self, weights: export.Weights):
        self._model = model.build(weights.config["model"])
        self._params = jax.device_put(weights.params)
        self._text = TextFrontEnd()
        self._symbols = tuple(weights.config["symbols"])
        self.size: int = weights.config["model"]["size"]
        self._see = self._jit(sampling.see)
        self._render = self._jit(sampling.render)
        self._render_photograph = self._jit(sampling.render_photograph)
        self._read = self._jit(sampling.read)
        self._say = self._jit(sampling.say, "mels")
        self._move = self._jit(sampling.move)

    def _jit(self, function: Callable, *static: str) -> Callable:
        fitting = functools.partial(export.fitting(function), self._model)
        compiled = jax.jit(fitting, static_argnames=static)
        return functools.partial(compiled, self._params)

    def speak(
        self,
        source: portrait.ImageSource,
        text: str,
        *,
        seed: int | None = None,
        motion_seed: int | None = None,
        voice_seed: int | None = None,
        face_index: int | None = None,
        paste_back: bool = False,
        resolution: Resolution = "model",
        progress: Progress | None = None,
    ) -> Clip:
        """The person in a portrait says a text, in a voice that fits the face.

        Args:
          source: the portrait: a path, encoded bytes, a Pillow image or a uint8 array.
          text: English.
          seed: the same seed gives the same clip. Default: one that the picture and the text give,
            so that the same input gives the same clip, and another picture or text another motion.
          motion_seed: of the head's motion alone; the wave stays bit for bit. Default: seed.
          voice_seed: of the voice alone. Default: seed.
          face_index: which face, counted from 0 at the left, where there are several.
          paste_back: frames of the whole photograph instead of the square around the head.
          resolution: "model" draws frames of the model's size. "source" bends the portrait's own
            pixels instead, and frames come as large as the head is in it, at most 1024 px.
          progress: called with (frames drawn, frames in all).

        Raises:
          WeightsIncomplete, BadWeights, UnreadableImage, NoFace, SeveralFaces, EmptyText,
          NothingToPronounce, UnknownSymbol, TextTooLong.
        """
        self._require("speak", (*sampling.FACE, *sampling.SPEECH, *sampling.MOTION))
        tokens = self._tokens(text)
        aligned = portrait.align(source, size=self.size, face_index=face_index)
        face = self._see(aligned.crop[None])
        reading = self._read(face.identity, *tokens)
        frames = int(reading.durations.sum()) // MELS_PER_FRAME
        bucket = _bucket(frames, FRAME_BUCKETS)
        if bucket is None:
            raise TextTooLong(
                f"The text would take {frames / FPS:.0f} s to say and "
                f"{FRAME_BUCKETS[-1] / FPS:.0f} s is the most; say it in parts."
            )
        seed = _seed_of(aligned.source, text) if seed is None else seed
        voice_keys = jax.random.key(seed if voice_seed is None else voice_seed)[None]
        motion_keys = jax.random.key(seed if motion_seed is None else motion_seed)[None]
        speech = self._say(reading, voice_keys, mels=MELS_PER_FRAME * bucket)
        alphas = self._move(face, speech, jax.vmap(jax.random.fold_in, (0, None))(motion_keys, 1))
        head, lip = (np.asarray(alpha)[:, :frames] for alpha in alphas)
        pictures = self._draw(self._painter(face, aligned, resolution), head, lip, progress)
        return Clip(
            portrait.paste_back(pictures, aligned) if paste_back else pictures,
            np.clip(np.asarray(speech.wave)[0, : frames * SAMPLES_PER_FRAME], -1, 1),
            seed,
        )

    def reenact(
        self,
        source: portrait.ImageSource,
        driving: str | os.PathLike,
        *,
        face_index: int | None = None,
        paste_back: bool = False,
        resolution: Resolution = "model",
        progress: Progress | None = None,
    ) -> Clip:
        """The person in a portrait moves as the one in a video does, with that video's sound.

        Args:
          source, face_index, paste_back, resolution, progress: as in `speak`.
          driving: a video of one person, at most a minute.

        Raises:
          WeightsIncomplete, BadWeights, UnreadableImage, NoFace, SeveralFaces, UnreadableVideo,
          RejectedClip.
        """
        self._require("reenact", sampling.FACE)
        aligned = portrait.align(source, size=self.size, face_index=face_index)
        track = tracking.track(driving)
        frames = np.stack(list(tracking.crop(driving, track.square, self.size)))
        driven = [self._see(chunk) for chunk in _chunks(frames)]
        head, lip = (
            np.concatenate([np.asarray(alpha) for alpha in alphas])[None, : len(frames)]
            for alphas in zip(*((d.alpha_head, d.alpha_lip) for d in driven), strict=True)
        )
        painter = self._painter(self._see(aligned.crop[None]), aligned, resolution)
        pictures = self._draw(painter, head, lip, progress)
        return Clip(
            portrait.paste_back(pictures, aligned) if paste_back else pictures,
            video.fit(video.sound_of(driving), len(frames)),
        )

    def _tokens(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        tokens = self._text.encode(text)
        bucket = _bucket(len(tokens), TOKEN_BUCKETS)
        if bucket is None:
            raise TextTooLong(
                f"The text has {len(tokens)} sounds and {TOKEN_BUCKETS[-1]} is the most; say it "
                "in parts."
            )
        return np.pad(tokens, (0, bucket - len(tokens)))[None], np.array([len(tokens)], np.int32)

    def _painter(
        self, face: sampling.Face, aligned: portrait.Aligned, resolution: Resolution
    ) -> Painter:
        """What draws frames of a face, of the model's size or of the photograph's."""
        if resolution == "model":
            return functools.partial(self._render, face)
        if resolution != "source":
            raise ValueError(f'resolution is {resolution!r}; it must be "model" or "source"')
        side = min(PHOTOGRAPH_SIDES, key=lambda side: abs(math.log(side / aligned.square.side)))
        photograph = portrait.cut(aligned.source, aligned.square, side)[None]
        return lambda head, lip: self._render_photograph(face, head, lip, photograph)

    def _draw(
        self,
        paint: Painter,
        head: Float[np.ndarray, "1 t head"],
        lip: Float[np.ndarray, "1 t lip"],
        progress: Progress | None,
    ) -> UInt8[np.ndarray, "t h w 3"]:
        total, pictures = head.shape[1], []
        for alphas in zip(_chunks(head[0]), _chunks(lip[0]), strict=True):
            drawn = paint(*(alpha[None] for alpha in alphas))
            pictures.append(np.asarray(drawn)[0])
            if progress:
                progress(min(len(pictures) * CHUNK, total), total)
        return np.concatenate(pictures)[:total]

    def _require(self, request: str, parts: Sequence[str]) -> None:
        if missing := [part for part in parts if part not in self._params]:
            raise WeightsIncomplete(
                f"These weights can't {request}: they lack {', '.join(missing)}. Load weights "
                "that have all parts, or train the missing stages."
            )
        if request == "speak" and self._symbols != SYMBOLS:
            raise WeightsIncomplete(
                "These weights were trained with other phoneme symbols; use the version of "
                "facespeak_jax they belong to."
            )


def load(directory: str | os.PathLike = WEIGHTS) -> FaceSpeaker:
    """The shipped weights, or those in another directory (local or gs://).

    Compiled programs are kept in `$FACESPEAK_CACHE` (default `~/.cache/facespeak`) unless jax has
    been given a cache already, so that the next process starts fast.

    Raises:
      BadWeights: incomplete or damaged; those of another model are found out when they are used.
    """
    if jax.config.values["jax_compilation_cache_dir"] is None:
        cache = Path(os.environ.get("FACESPEAK_CACHE", Path.home() / ".cache" / "facespeak"))
        jax.config.update("jax_compilation_cache_dir", str(cache / "compiled"))
    return FaceSpeaker(export.load(directory))


def _seed_of(picture: UInt8[np.ndarray, "h w 3"], text: str) -> int:
    """The seed of a portrait with a text, where none is given: 31 bits."""
    return zlib.crc32(text.encode(), zlib.crc32(picture.tobytes())) >> 1


def _bucket(length: int, buckets: Sequence[int]) -> int | None:
    """The smallest bucket that holds the length; None if there is none."""
    return next((bucket for bucket in buckets if bucket >= length), None)


def _chunks(rows: np.ndarray) -> list[np.ndarray]:
    """CHUNK rows at a time, the last chunk filled up with its last row."""
    missing = -len(rows) % CHUNK
    filled = np.concatenate([rows, np.repeat(rows[-1:], missing, axis=0)])
    return np.split(filled, len(filled) // CHUNK)
