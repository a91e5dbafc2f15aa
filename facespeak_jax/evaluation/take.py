"""What a system made of one case: the clip that is judged, and what it was made from."""

import io
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int32, UInt8
from PIL import Image

from facespeak_jax.data.schema import decode_image


@dataclass(frozen=True)
class Take:
    """T frames at 25 a second, 640·T samples at 16 kHz in [-1, 1]; either may be empty.

    `phonemes` and their `durations` (mel frames) are known where a system speaks by phonemes, and
    `seconds` of compute where it was generated.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    audio: Float[np.ndarray, " n"]
    text: str = ""
    phonemes: list[str] = field(default_factory=list)
    durations: Int32[np.ndarray, " l"] = field(default_factory=lambda: np.zeros(0, np.int32))
    seconds: float = 0.0


def save(path: Path, take: Take) -> None:
    """Stores a take: frames without loss, samples as 16-bit numbers.

    What is drawn from a portrait has the marks of the portrait's JPEG. Compressed again it would be
    judged by marks that neither the truth has, nor the still source.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".part")
    frames = [np.frombuffer(_png(frame), np.uint8) for frame in take.frames]
    with unfinished.open("wb") as file:
        np.savez(
            file,
            png=np.concatenate([np.zeros(0, np.uint8), *frames]),
            sizes=np.array([len(frame) for frame in frames], np.int64),
            audio=np.rint(np.clip(take.audio, -1, 1) * 32767).astype(np.int16),
            text=np.array(take.text),
            phonemes=np.array(take.phonemes, np.str_),
            durations=take.durations,
            seconds=np.array(take.seconds),
        )
    os.replace(unfinished, path)


def load(path: Path) -> Take:
    """The inverse of `save`, up to half a step of the samples."""
    with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as stored:
        parts = np.split(stored["png"], np.cumsum(stored["sizes"])[:-1])
        frames = [decode_image(part.tobytes()) for part in parts if len(part)]
        return Take(
            np.stack(frames) if frames else np.zeros((0, 1, 1, 3), np.uint8),
            (stored["audio"] / np.float32(32767)).astype(np.float32),
            str(stored["text"]),
            stored["phonemes"].tolist(),
            stored["durations"].astype(np.int32),
            float(stored["seconds"]),
        )


def _png(frame: UInt8[np.ndarray, "h w 3"]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "PNG")
    return buffer.getvalue()
