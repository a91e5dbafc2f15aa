"""The trained model step by step, each step timed: what the evaluation runs instead of `speak`.

The same programs in the same order as `FaceSpeaker.speak`, on canonical crops, keeping what lies
between a portrait and its clip: the phonemes, their durations, the mel and the motion.
"""

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int32, UInt8

from facespeak_jax import export, flow, model, sampling
from facespeak_jax.errors import TextTooLong, WeightsIncomplete
from facespeak_jax.evaluation.systems.manner import Manner
from facespeak_jax.motion import hearing
from facespeak_jax.motion.lip_mapper import energy
from facespeak_jax.motion.reducer import NoiseReducer
from facespeak_jax.motion.sampler import MotionField, MotionPrior, sample_motion
from facespeak_jax.pipeline import CHUNK, FRAME_BUCKETS, TOKEN_BUCKETS
from facespeak_jax.rates import FPS, MELS_PER_FRAME, SAMPLES_PER_FRAME
from facespeak_jax.speech import durations as timing
from facespeak_jax.speech.mel import log_mel
from facespeak_jax.speech.text import TextFrontEnd

Alphas = tuple[Float[np.ndarray, "t head"], Float[np.ndarray, "t lip"]]


class Codes(NamedTuple):
    """What the encoder sees in each of T frames."""

    alpha_head: Float[np.ndarray, "t head"]
    alpha_lip: Float[np.ndarray, "t lip"]
    motion: Float[np.ndarray, "t s"]
    identity: Float[np.ndarray, "t s"]


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
    """Weights ready to run in a manner, the product's by default; `clock` holds the seconds of
    compute of each step since `reset`."""

    def __init__(self, weights: export.Weights, manner: Manner = Manner()):  # noqa: B008 (frozen)
        self.weights, self.manner = weights, manner
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
        self._mel = jax.jit(self._with(_mel), static_argnames=("mels", "steps"))
        self._vocode = jax.jit(self._with(_vocode))
        self._lips = jax.jit(self._with(_lips), static_argnames="hears")
        self._heads = jax.jit(self._with(_heads), static_argnames=("steps", "hears"))
        self._reduce = jax.jit(self._with(_reduce))
        self._render = jax.jit(self._with(sampling.render))

    def _with(self, function: Callable) -> Callable:
        fitting = export.fitting(function)
        return lambda params, *arguments, **static: fitting(
            self._model, params, *arguments, **static
        )

    def in_manner(self, manner: Manner) -> "Machine":
        """The same weights and compiled programs, run in another manner."""
        other = copy.copy(self)
        other.manner, other.clock = manner, {}
        return other

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
        style = face.identity
        if self.manner.voice_of == "style":
            style = style + face.motion
        return self._timed("durations", self._read, style, text.tokens, text.length)

    def say(self, reading: sampling.Reading, seed: int) -> sampling.Speech:
        """The reading spoken, padded to a bucket."""
        frames = int(reading.durations.sum()) // MELS_PER_FRAME
        mels = MELS_PER_FRAME * bucket_of(frames, FRAME_BUCKETS, "frames")
        keys = jax.random.key(seed)[None]
        steps = self.manner.mel_steps
        speech = self._timed("mel", self._mel, reading, keys, mels=mels, steps=steps)
        wave = self._timed("vocoder", self._vocode, speech.mel, speech.frames * MELS_PER_FRAME)
        return speech._replace(wave=wave)

    def move(self, face: sampling.Face, speech: sampling.Speech, seed: int) -> Alphas:
        """Head motion and lips of a speech, without its padding."""
        keys = jax.vmap(jax.random.fold_in, (0, None))(jax.random.key(seed)[None], 1)
        manner = self.manner
        lip = self._timed("lips", self._lips, face, speech, hears=manner.lips_hear)
        options = {"steps": manner.motion_steps, "hears": manner.head_hears}
        head = self._timed("motion", self._heads, face, speech, keys, **options)
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
        """The person of a canonical crop says a text, as `FaceSpeaker.speak` would have it if the
        manner is the product's.

        Raises WeightsIncomplete, TextTooLong and the errors of the text front end.
        """
        self.require((*sampling.FACE, *sampling.SPEECH, *sampling.MOTION))
        face, words, reading, speech = self._spoken(crop, text, seed)
        alphas = self.move(face, speech, seed if motion_seed is None else motion_seed)
        frames = self.draw(face, alphas)
        return self._clip(frames, words, reading, speech)

    def voice(self, crop: UInt8[np.ndarray, "h w 3"], text: str, *, seed: int = 0) -> Spoken:
        """`speak` without a picture: the clip has no frames.

        Raises WeightsIncomplete, TextTooLong and the errors of the text front end.
        """
        self.require((*sampling.FACE, *sampling.SPEECH))
        _, words, reading, speech = self._spoken(crop, text, seed)
        return self._clip(np.zeros((0, self.size, self.size, 3), np.uint8), words, reading, speech)

    def motions(
        self, crop: UInt8[np.ndarray, "h w 3"], text: str, seeds: Sequence[int]
    ) -> tuple[sampling.Face, list[Alphas]]:
        """The face, and how it would move under several motion seeds to the same speech, the first
        seed's."""
        self.require((*sampling.FACE, *sampling.SPEECH, *sampling.MOTION))
        face, _, _, speech = self._spoken(crop, text, seeds[0])
        return face, [self.move(face, speech, seed) for seed in seeds]

    def _spoken(
        self, crop: UInt8[np.ndarray, "h w 3"], text: str, seed: int
    ) -> tuple[sampling.Face, Text, sampling.Reading, sampling.Speech]:
        self.reset()
        face, words = self.see(crop), self.text(text)
        reading = self.read(face, words)
        return face, words, reading, self.say(reading, seed)

    def _clip(
        self,
        frames: UInt8[np.ndarray, "t h w 3"],
        words: Text,
        reading: sampling.Reading,
        speech: sampling.Speech,
    ) -> Spoken:
        samples = int(speech.frames[0]) * SAMPLES_PER_FRAME
        audio = np.clip(np.asarray(speech.wave)[0, :samples], -1, 1)
        durations = np.asarray(reading.durations)[0, : len(words.phonemes)]
        return Spoken(frames, audio, words.phonemes, durations, dict(self.clock))

    def codes(self, frames: UInt8[np.ndarray, "t h w 3"]) -> Codes:
        """What the encoder sees in each frame."""
        self.require(("encoder", "motion_basis"))
        found = [self._timed("see", self._see, chunk) for chunk in _chunks(frames)]
        return Codes(
            *(
                np.concatenate([np.asarray(getattr(face, name)) for face in found])[: len(frames)]
                for name in Codes._fields
            )
        )

    def reconstruct(
        self, source: UInt8[np.ndarray, "h w 3"], frames: UInt8[np.ndarray, "t h w 3"]
    ) -> UInt8[np.ndarray, "t h w 3"]:
        """Frames of a person, drawn again from one picture and the motion seen in each of them."""
        self.require(sampling.FACE)
        seen, face = self.codes(frames), self.see(source)
        head = seen.alpha_head
        if self.manner.reduced:
            self.require(("reducer",))
            bucket = bucket_of(len(head), FRAME_BUCKETS, "frames")
            padded = np.pad(head, [(0, bucket - len(head)), (0, 0)])[None]
            lengths = np.array([len(head)], np.int32)
            reduced = self._timed("reduce", self._reduce, padded, face.alpha_head, lengths)
            head = np.asarray(reduced)[0, : len(head)]
        return self.draw(face, (head, seen.alpha_lip))

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


def _chunks(frames: UInt8[np.ndarray, "t h w 3"]) -> list[UInt8[np.ndarray, "c h w 3"]]:
    """CHUNK frames at a time, the last chunk filled up with its last frame."""
    missing = -len(frames) % CHUNK
    filled = np.pad(frames, [(0, missing), (0, 0), (0, 0), (0, 0)], mode="edge")
    return np.split(filled, len(filled) // CHUNK)


def _mel(
    machine: model.FaceSpeak,
    params: sampling.Params,
    reading: Any,
    keys: Any,
    *,
    mels: int,
    steps: int,
) -> sampling.Speech:
    """What is spoken, without its wave: the compiler drops the vocoder that nobody asks for."""
    speech = sampling.say(machine, params, reading, keys, mels=mels, steps=max(steps, 1))
    mel = speech.mel
    if not steps:
        mel = timing.upsample(reading.prior, reading.durations, mels)
    return speech._replace(mel=mel, wave=jnp.zeros((mel.shape[0], 0)))


def _vocode(
    machine: model.FaceSpeak,
    params: sampling.Params,
    mel: Float[Array, "b m 80"],
    lengths: Int32[Array, " b"],
) -> Float[Array, "b n"]:
    wave = machine.apply({"params": params}, mel, lengths, method="vocode")
    assert isinstance(wave, jax.Array)
    return wave


def _reduce(
    machine: model.FaceSpeak,
    params: sampling.Params,
    alpha: Float[Array, "b t d"],
    source: Float[Array, "b d"],
    lengths: Int32[Array, " b"],
) -> Float[Array, "b t d"]:
    code = machine.apply({"params": params}, alpha, lengths, method="reduce")
    reduced: Any = machine.apply({"params": params}, code, source, lengths, method="restore")
    return reduced


def _lips(
    machine: model.FaceSpeak,
    params: sampling.Params,
    face: sampling.Face,
    speech: sampling.Speech,
    *,
    hears: tuple[str, ...],
) -> Float[Array, "b t d"]:
    inputs = hearing.heard(hears, speech.features, speech.prior, speech.mel, energy(speech.mel))
    lips: Any = machine.apply(
        {"params": params}, *inputs, face.alpha_lip, speech.frames, method="lips"
    )
    return lips


def _heads(
    machine: model.FaceSpeak,
    params: sampling.Params,
    face: sampling.Face,
    speech: sampling.Speech,
    keys: Any,
    *,
    steps: int,
    hears: bool,
) -> Float[Array, "b t d"]:
    return sample_motion(
        cast(MotionPrior, machine.motion_prior),
        cast(MotionField, machine.motion_field),
        cast(NoiseReducer, machine.reducer),
        params,
        speech.features if hears else jnp.zeros_like(speech.features),
        face.alpha_head,
        speech.frames,
        keys,
        solver=flow.Midpoint() if steps else _Stay(),
        steps=steps,
        temperature=1.0 if steps else 0.0,
    )


class _Stay:
    """The solver of no steps: with no noise either, the mean that the flow would start around."""

    def solve(
        self, velocity: flow.Velocity, x0: Float[Array, "b t c"], steps: int
    ) -> Float[Array, "b t c"]:
        del velocity, steps
        return x0
