"""The trained model step by step, each step timed: what the evaluation runs instead of `speak`.

The same programs in the same order as `FaceSpeaker.speak`, on canonical crops, keeping what lies
between a portrait and its clip: the phonemes, their durations, the mel and the motion.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, UInt8

from facespeak_jax import export, model, sampling
from facespeak_jax.errors import TextTooLong, WeightsIncomplete
from facespeak_jax.pipeline import CHUNK, FRAME_BUCKETS, TOKEN_BUCKETS
from facespeak_jax.rates import FPS, MELS_PER_FRAME, SAMPLES_PER_FRAME
from facespeak_jax.speech.mel import log_mel
from facespeak_jax.speech.text import TextFrontEnd

Alphas = tuple[Float[np.ndarray, "t head"], Float[np.ndarray, "t lip"]]


@dataclass(frozen=True)
class Text:
    """A text as tokens of a bucket's length, and as L phonemes."""

    phonemes: list[str]
    tokens: Int32[np.ndarray, "1 b"]
    length: Int32[np.ndarray, "1"]


@dataclass(frozen=True)
class Spoken:
    """A clip with what it was made from: T frames, 640·T samples, 4·T mel frames, L phonemes."""

    frames: UInt8[np.ndarray, "t h w 3"]
    audio: Float[np.ndarray, " n"]
    phonemes: list[str]
    durations: Int32[np.ndarray, " l"]
    seconds: dict[str, float] = field(default_factory=dict)  # of compute, by step


class Machine:
    """Weights ready to run; `clock` holds the seconds of compute of each step since `reset`."""

    def __init__(self, weights: export.Weights):
        self.config: dict[str, Any] = weights.config["model"]
        self.parts = frozenset(weights.params)
        self.size: int = self.config["size"]
        self.clock: dict[str, float] = {}
        self._compiled: set[str] = set()
        self._model = model.build(self.config)
        self._params = jax.device_put(weights.params)
        self._front_end = TextFrontEnd()
        self._see = jax.jit(self._with(sampling.see))
        self._read = jax.jit(self._with(sampling.read))
        self._mel = jax.jit(self._with(_mel), static_argnames="mels")
        self._vocode = jax.jit(self._with(_vocode))
        self._lips = jax.jit(self._with(_lips))
        self._heads = jax.jit(self._with(_heads))
        self._render = jax.jit(self._with(sampling.render))

    def _with(self, function: Callable) -> Callable:
        return lambda params, *arguments, **static: function(
            self._model, params, *arguments, **static
        )

    def missing(self, parts: tuple[str, ...]) -> list[str]:
        """Which of the parts these weights lack."""
        return [part for part in parts if part not in self.parts]

    def require(self, parts: tuple[str, ...]) -> None:
        """Raises WeightsIncomplete unless these weights have all the parts."""
        if missing := self.missing(parts):
            raise WeightsIncomplete(f"these weights lack {', '.join(missing)}")

    def reset(self) -> None:
        """Starts the clock again."""
        self.clock = {}

    def _timed(self, step: str, function: Callable, *arguments: Any, **static: Any) -> Any:
        shapes = [getattr(leaf, "shape", ()) for leaf in jax.tree.leaves(arguments)]
        if (program := repr((step, shapes, static))) not in self._compiled:
            # Once for the compiler, whose time is not the model's.
            jax.block_until_ready(function(self._params, *arguments, **static))
            self._compiled.add(program)
        start = time.perf_counter()
        result = jax.block_until_ready(function(self._params, *arguments, **static))
        self.clock[step] = self.clock.get(step, 0.0) + time.perf_counter() - start
        return result

    def see(self, crop: UInt8[np.ndarray, "h w 3"]) -> sampling.Face:
        """A canonical crop as the model knows it."""
        return self._timed("see", self._see, crop[None])

    def text(self, text: str) -> Text:
        """Raises TextTooLong and the errors of the text front end."""
        start = time.perf_counter()
        phonemes = self._front_end.phonemize(text)
        tokens = self._front_end.encode(text)
        bucket = bucket_of(len(tokens), TOKEN_BUCKETS, "sounds")
        padded = np.pad(tokens, (0, bucket - len(tokens)))[None]
        self.clock["text"] = self.clock.get("text", 0.0) + time.perf_counter() - start
        return Text(phonemes, padded, np.array([len(tokens)], np.int32))

    def read(self, face: sampling.Face, text: Text) -> sampling.Reading:
        """The text with the timing of the voice that fits the face."""
        return self._timed("durations", self._read, face.identity, text.tokens, text.length)

    def say(self, reading: sampling.Reading, seed: int) -> sampling.Speech:
        """The reading spoken, padded to a bucket."""
        frames = int(reading.durations.sum()) // MELS_PER_FRAME
        mels = MELS_PER_FRAME * bucket_of(frames, FRAME_BUCKETS, "frames")
        speech = self._timed("mel", self._mel, reading, jax.random.key(seed)[None], mels=mels)
        wave = self._timed("vocoder", self._vocode, speech.mel, speech.frames * MELS_PER_FRAME)
        return speech._replace(wave=wave)

    def move(self, face: sampling.Face, speech: sampling.Speech, seed: int) -> Alphas:
        """Head motion and lips of a speech, without its padding."""
        keys = jax.vmap(jax.random.fold_in, (0, None))(jax.random.key(seed)[None], 1)
        lip = self._timed("lips", self._lips, face, speech, keys)
        head = self._timed("motion", self._heads, face, speech, keys)
        frames = int(speech.frames[0])
        return np.asarray(head)[0, :frames], np.asarray(lip)[0, :frames]

    def draw(self, face: sampling.Face, alphas: Alphas) -> UInt8[np.ndarray, "t h w 3"]:
        """The face with the motion given."""
        head, lip = alphas
        missing = -len(head) % CHUNK
        rows = [np.pad(alpha, [(0, missing), (0, 0)], mode="edge") for alpha in (head, lip)]
        pictures = []
        for start in range(0, len(rows[0]), CHUNK):
            chunk = [alpha[None, start : start + CHUNK] for alpha in rows]
            pictures.append(np.asarray(self._timed("render", self._render, face, *chunk))[0])
        return np.concatenate(pictures)[: len(head)]

    def speak(
        self,
        crop: UInt8[np.ndarray, "h w 3"],
        text: str,
        *,
        seed: int = 0,
        motion_seed: int | None = None,
    ) -> Spoken:
        """The person of a canonical crop says a text, as `FaceSpeaker.speak` would have it.

        Raises WeightsIncomplete, TextTooLong and the errors of the text front end.
        """
        self.require((*sampling.FACE, *sampling.SPEECH, *sampling.MOTION))
        self.reset()
        face, words = self.see(crop), self.text(text)
        reading = self.read(face, words)
        speech = self.say(reading, seed)
        alphas = self.move(face, speech, seed if motion_seed is None else motion_seed)
        frames = self.draw(face, alphas)
        audio = np.clip(np.asarray(speech.wave)[0, : len(frames) * SAMPLES_PER_FRAME], -1, 1)
        durations = np.asarray(reading.durations)[0, : len(words.phonemes)]
        return Spoken(frames, audio, words.phonemes, durations, dict(self.clock))

    def reconstruct(
        self, source: UInt8[np.ndarray, "h w 3"], frames: UInt8[np.ndarray, "t h w 3"]
    ) -> UInt8[np.ndarray, "t h w 3"]:
        """Frames of a person, drawn again from one picture and the motion seen in each of them."""
        self.require(sampling.FACE)
        missing = -len(frames) % CHUNK
        filled = np.pad(frames, [(0, missing), (0, 0), (0, 0), (0, 0)], mode="edge")
        heads, lips = [], []
        for start in range(0, len(filled), CHUNK):
            seen = self._timed("see", self._see, filled[start : start + CHUNK])
            heads.append(np.asarray(seen.alpha_head))
            lips.append(np.asarray(seen.alpha_lip))
        alphas = (np.concatenate(heads)[: len(frames)], np.concatenate(lips)[: len(frames)])
        return self.draw(self.see(source), alphas)

    def revocode(self, audio: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
        """A wave of 640·T samples through its mel and the vocoder."""
        self.require(("vocoder",))
        length = len(audio) // SAMPLES_PER_FRAME
        bucket = bucket_of(length, FRAME_BUCKETS, "frames")
        padded = np.pad(audio, (0, bucket * SAMPLES_PER_FRAME - len(audio)))[None]
        samples = jnp.array([length * SAMPLES_PER_FRAME])
        mel = log_mel(jnp.asarray(padded, jnp.float32), samples)
        mel = (mel - self.config["mel_mean"]) / self.config["mel_std"]
        lengths = np.array([length * MELS_PER_FRAME], np.int32)
        wave = np.asarray(self._timed("vocoder", self._vocode, mel, lengths))
        return np.clip(wave[0, : len(audio)], -1, 1)


def bucket_of(length: int, buckets: tuple[int, ...], unit: str) -> int:
    """The smallest bucket that holds the length. Raises TextTooLong."""
    for bucket in buckets:
        if bucket >= length:
            return bucket
    raise TextTooLong(f"{length} {unit}; {buckets[-1]} ({buckets[-1] / FPS:.0f} s) is the most")


def _mel(
    machine: model.FaceSpeak, params: sampling.Params, reading: Any, keys: Any, *, mels: int
) -> sampling.Speech:
    """What is spoken, without its wave: the compiler drops the vocoder that nobody asks for."""
    speech = sampling.say(machine, params, reading, keys, mels=mels)
    return speech._replace(wave=jnp.zeros((speech.mel.shape[0], 0)))


def _vocode(
    machine: model.FaceSpeak,
    params: sampling.Params,
    mel: Float[Array, "b m 80"],
    lengths: Int32[Array, " b"],
) -> Float[Array, "b n"]:
    wave = machine.apply({"params": params}, mel, lengths, method="vocode")
    assert isinstance(wave, jax.Array)
    return wave


def _lips(machine: model.FaceSpeak, params: sampling.Params, *given: Any) -> Array:
    return sampling.move(machine, params, *given)[1]


def _heads(machine: model.FaceSpeak, params: sampling.Params, *given: Any) -> Array:
    return sampling.move(machine, params, *given)[0]
