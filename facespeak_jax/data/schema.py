"""The one record every corpus is stored as: a clip of one person speaking one sentence.

Unknown ground truth is a zero-length array, never a made-up value; a recording that nobody filmed
has no frames. Lengths are tied together by the rates: T video frames are M = 4·T mel frames and
640·T audio samples.
"""

import functools
import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from PIL import Image, UnidentifiedImageError

from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.rates import MELS_PER_FRAME, SAMPLES_PER_FRAME

UNITS = 52  # ARKit face units
VOICE = 16  # voice coordinates


class InvalidClip(FaceSpeakError):
    """A clip breaks the record schema; the message names the clip, the field and the rule."""


class BadExample(FaceSpeakError):
    """A record cannot become an example; the input pipeline counts it and draws another instead."""


def _none(*tail: int, dtype: type = np.float32) -> functools.partial:
    return functools.partial(np.zeros, (0, *tail), dtype)


@dataclass
class Clip:
    """One clip. T frames, L phonemes, K crossed frames; boxes and landmarks in [0, 1] of the frame.

    landmarks: left eye, right eye (as seen in the image), nose tip, left and right mouth corner.
    """

    clip_id: str
    speaker: str
    text: str
    frames: list[bytes]  # T encoded square images, all of one size; or none
    audio: np.ndarray  # int16 (640·T,) at 16 kHz
    mouth_box: np.ndarray = field(default_factory=_none(4))  # (T, 4) x0 y0 x1 y1
    eye_box: np.ndarray = field(default_factory=_none(4))  # (T, 4)
    landmarks: np.ndarray = field(default_factory=_none(5, 2))  # (T, 5, 2)
    phonemes: str = ""  # symbols separated by one space; the word boundary is written "_"
    durations: np.ndarray = field(default_factory=_none(dtype=np.int32))  # (L,), sum 4·T mel frames
    pose: np.ndarray = field(default_factory=_none(3))  # (T, 3) yaw, pitch, roll in degrees
    units: np.ndarray = field(default_factory=_none(UNITS))  # (T, 52)
    lip_opening: np.ndarray = field(default_factory=_none())  # (T,) inner lip gap / eye distance
    voice: np.ndarray = field(default_factory=_none())  # (16,)
    crossed_frames: list[bytes] = field(default_factory=list)  # K images, drawn from two frames:
    crossed_head: np.ndarray = field(
        default_factory=_none(dtype=np.int32)
    )  # (K,) head, pose, blink
    crossed_lips: np.ndarray = field(default_factory=_none(dtype=np.int32))  # (K,) visemes

    @property
    def symbols(self) -> list[str]:
        """The phonemes as project symbols, L of them."""
        return [" " if s == "_" else s for s in self.phonemes.split(" ")] if self.phonemes else []


def _array(shape: tuple[int | None, ...], dtype: type) -> tfds.features.Tensor:
    return tfds.features.Tensor(shape=shape, dtype=dtype, encoding=tfds.features.Encoding.BYTES)


FEATURES = tfds.features.FeaturesDict(
    {
        "clip_id": tfds.features.Text(),
        "speaker": tfds.features.Text(),
        "text": tfds.features.Text(),
        "frames": tfds.features.Tensor(shape=(None,), dtype=np.object_),
        "audio": _array((None,), np.int16),
        "mouth_box": _array((None, 4), np.float32),
        "eye_box": _array((None, 4), np.float32),
        "landmarks": _array((None, 5, 2), np.float32),
        "phonemes": tfds.features.Text(),
        "durations": _array((None,), np.int32),
        "pose": _array((None, 3), np.float32),
        "units": _array((None, UNITS), np.float32),
        "lip_opening": _array((None,), np.float32),
        "voice": _array((None,), np.float32),
        "crossed_frames": tfds.features.Tensor(shape=(None,), dtype=np.object_),
        "crossed_head": _array((None,), np.int32),
        "crossed_lips": _array((None,), np.int32),
    }
)

_TEXTS = ("clip_id", "speaker", "text", "phonemes")
_IMAGES = ("frames", "crossed_frames")
_PER_FRAME = ("mouth_box", "eye_box", "landmarks", "pose", "units", "lip_opening")
_REQUIRED_PER_FRAME = ("mouth_box", "eye_box", "landmarks")


def validate(clip: Clip) -> None:
    """Raises InvalidClip if a field has the wrong type or shape, or if lengths disagree."""

    def require(true: bool, message: str) -> None:
        if not true:
            raise InvalidClip(f"clip {clip.clip_id!r}: {message}")

    for name in _TEXTS:
        require(isinstance(getattr(clip, name), str), f"{name} must be a str")
    require(bool(clip.clip_id) and bool(clip.speaker), "clip_id and speaker must not be empty")
    for name in _IMAGES:
        images = getattr(clip, name)
        require(all(isinstance(image, bytes) for image in images), f"{name} must be encoded images")
    for name, feature in FEATURES.items():
        if name in _TEXTS or name in _IMAGES:
            continue
        value = getattr(clip, name)
        dtype: Any = feature.np_dtype
        shape: Any = feature.shape
        require(
            isinstance(value, np.ndarray)
            and value.dtype == dtype
            and value.ndim == len(shape)
            and value.shape[1:] == shape[1:],
            f"{name} must be {np.dtype(dtype).name} of shape {shape}, got "
            f"{getattr(value, 'dtype', type(value).__name__)} {getattr(value, 'shape', '')}",
        )
        if value.dtype == np.float32:
            require(bool(np.isfinite(value).all()), f"{name} holds non-finite numbers")
    _validate_lengths(clip, require)


def _validate_lengths(clip: Clip, require) -> None:
    t, seen = len(clip.audio) // SAMPLES_PER_FRAME, len(clip.frames)
    require(t > 0 or seen > 0, "there are neither frames nor sound")
    t = seen or t
    require(
        len(clip.audio) == SAMPLES_PER_FRAME * t,
        f"{t} frames need {SAMPLES_PER_FRAME * t} audio samples, got {len(clip.audio)}",
    )
    for name in _PER_FRAME:
        lengths = (seen,) if name in _REQUIRED_PER_FRAME else (0, seen)
        require(
            len(getattr(clip, name)) in lengths,
            f"{name} must have one row a frame ({seen}), got {len(getattr(clip, name))}",
        )
    require(len(clip.voice) in (0, VOICE), f"voice must have {VOICE} coordinates or none")
    if len(clip.durations):
        m, total, count = MELS_PER_FRAME * t, int(clip.durations.sum()), len(clip.symbols)
        require(bool((clip.durations >= 0).all()), "durations must not be negative")
        require(total == m, f"durations must sum to {m} mel frames, got {total}")
        require(count == len(clip.durations), f"{count} phonemes, {len(clip.durations)} durations")
    k = len(clip.crossed_frames)
    for name in ("crossed_head", "crossed_lips"):
        value = getattr(clip, name)
        require(len(value) == k, f"{name} must have one entry a crossed frame ({k})")
        require(
            bool(((value >= 0) & (value < t)).all()), f"{name} must point at frames of the clip"
        )


def to_record(clip: Clip) -> dict:
    """The clip as tensorflow-datasets wants it. Raises InvalidClip."""
    validate(clip)
    record = {name: getattr(clip, name) for name in FEATURES}
    for name in _IMAGES:
        record[name] = np.array(record[name], dtype=np.object_)
    return record


def from_record(record: dict) -> Clip:
    """The inverse of `to_record`; arrays are read-only views of the record."""
    fields = dict(record)
    for name in _TEXTS:
        fields[name] = fields[name].decode("utf-8")
    for name in _IMAGES:
        fields[name] = list(fields[name])
    return Clip(**fields)


def decode_image(encoded: bytes) -> np.ndarray:
    """Encoded image -> uint8 (h, w, 3). Raises BadExample if it cannot be decoded."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise BadExample(f"a frame of {len(encoded)} bytes cannot be decoded: {error}") from error


def encode_image(image: np.ndarray) -> bytes:
    """uint8 (h, w, 3) -> JPEG at quality 95 without chroma subsampling."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
