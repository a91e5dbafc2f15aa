"""Files of moving pictures and sound: read at the project's rates, written whole or not at all.

The same frames and wave give the same bytes: one encoder thread, bit-exact flags, no time stamps.
"""

import contextlib
import math
import os
import shutil
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple, cast

import av
import numpy as np
import soundfile
from av.codec.context import Flags
from av.container import InputContainer
from av.video.reformatter import ColorRange, Colorspace
from jaxtyping import Float, UInt8
from PIL import Image

from facespeak_jax.errors import OutputExists, UnknownOutput, UnreadableVideo
from facespeak_jax.rates import FPS, SAMPLE_RATE, SAMPLES_PER_FRAME

# The sound of each container: AAC plays everywhere, PCM keeps every sample.
SOUND_CODECS = {".mp4": "aac", ".mov": "pcm_s16le"}
FRAMES = ".png"
WAVE = ".wav"
QUALITY = 16  # x264's constant rate factor: visually lossless at these sizes


class Footage(NamedTuple):
    """Frames at 25 a second and exactly 640 samples of 16 kHz sound for each."""

    frames: UInt8[np.ndarray, "t h w 3"]
    audio: Float[np.ndarray, " 640*t"]


def destination(output: str | os.PathLike) -> Path:
    """The path `save` would write for `output`, to be called before any long work.

    `.mp4`, `.mov`: video with sound; `.wav`: the sound; `.png` or a trailing slash: a directory of
    PNG frames, named without the `.png`.

    Raises:
      UnknownOutput: another extension. OutputExists: a directory or frames are in the way.
    """
    path = Path(output)
    extension = path.suffix.lower()
    if os.fspath(output).endswith(("/", os.sep)) or extension == FRAMES:
        path = path.with_suffix("") if extension == FRAMES else path
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise OutputExists(f"{path} exists already; name a new directory for the frames.")
    elif extension not in (*SOUND_CODECS, WAVE):
        known = ", ".join((*SOUND_CODECS, WAVE, FRAMES))
        raise UnknownOutput(
            f"Nothing can be written as {path.name!r}: end its name in {known}, or in / for a "
            "directory of frames."
        )
    elif path.is_dir():
        raise OutputExists(f"{path} is a directory; name a file.")
    return path


def save(
    output: str | os.PathLike,
    frames: UInt8[np.ndarray, "t h w 3"],
    audio: Float[np.ndarray, " n"],
) -> Path:
    """Writes 25 fps frames and a 16 kHz wave in the format the name asks for (see `destination`).

    The file appears under its name only when complete.

    Returns:
      The path written.

    Raises:
      UnknownOutput, OutputExists.
    """
    path = destination(output)
    path.parent.mkdir(parents=True, exist_ok=True)
    extension = path.suffix.lower()
    with _replacing(path) as temporary:
        if extension in SOUND_CODECS:
            _write_container(temporary, extension, frames, audio)
        elif extension == WAVE:
            soundfile.write(temporary, audio, SAMPLE_RATE, subtype="PCM_16", format="WAV")
        else:
            temporary.mkdir()
            for index, frame in enumerate(frames):
                Image.fromarray(frame).save(temporary / f"{index:05d}.png")
    return path


@contextlib.contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that takes its place on success and vanishes on failure."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink(missing_ok=True)


def _write_container(
    path: Path,
    extension: str,
    frames: UInt8[np.ndarray, "t h w 3"],
    audio: Float[np.ndarray, " n"],
) -> None:
    _, height, width, _ = frames.shape
    container_options = {"fflags": "+bitexact", "movflags": "+faststart"}
    with av.open(path, "w", format=extension[1:], options=container_options) as container:
        picture = container.add_stream("libx264", rate=FPS, options={"crf": str(QUALITY)})
        # H.264 with shared chroma needs even sides.
        picture.width, picture.height = width + width % 2, height + height % 2
        picture.pix_fmt = "yuv420p"
        picture.thread_count = 1
        picture.codec_context.flags |= Flags.bitexact.value
        picture.colorspace = picture.color_primaries = picture.color_trc = Colorspace.ITU709
        picture.color_range = ColorRange.MPEG
        codec = SOUND_CODECS[extension]
        sound = cast(av.AudioStream, container.add_stream(codec, rate=SAMPLE_RATE, layout="mono"))
        sound.codec_context.flags |= Flags.bitexact.value
        for index, pixels in enumerate(frames):
            container.mux(picture.encode(_picture(pixels, index)))
            start = index * SAMPLES_PER_FRAME
            last = index == len(frames) - 1
            samples = audio[start:] if last else audio[start : start + SAMPLES_PER_FRAME]
            if len(samples):
                container.mux(sound.encode(_sound(samples, start, sound.codec_context.format)))
        container.mux(picture.encode())
        container.mux(sound.encode())


def _picture(pixels: UInt8[np.ndarray, "h w 3"], index: int) -> av.VideoFrame:
    height, width, _ = pixels.shape
    even = np.pad(pixels, [(0, height % 2), (0, width % 2), (0, 0)], mode="edge")
    frame = av.VideoFrame.from_ndarray(even, format="rgb24").reformat(
        format="yuv420p",
        src_color_range=ColorRange.JPEG,
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
    )
    frame.pts, frame.time_base = index, Fraction(1, FPS)
    return frame


def _sound(
    samples: Float[np.ndarray, " n"], start: int, sample_format: av.AudioFormat
) -> av.AudioFrame:
    clipped = np.clip(samples, -1, 1)
    if sample_format.name == "s16":
        values = np.rint(clipped * 32767).astype(np.int16)
    else:
        values = clipped.astype(np.float32)
    frame = av.AudioFrame.from_ndarray(values[None], format=sample_format.name, layout="mono")
    frame.sample_rate = SAMPLE_RATE
    frame.pts, frame.time_base = start, Fraction(1, SAMPLE_RATE)
    return frame


def frames_of(path: str | os.PathLike) -> Iterator[UInt8[np.ndarray, "h w 3"]]:
    """The frames of a video at 25 a second, upright; each instant shows the frame nearest to it.

    Raises:
      UnreadableVideo: missing, damaged, or without pictures.
    """
    with _opened(path) as container:
        if not container.streams.video:
            raise UnreadableVideo(f"{path} holds no video.")
        held: tuple[float, np.ndarray] | None = None
        first, emitted = 0.0, 0
        for frame in container.decode(video=0):
            pixels = _upright(frame)
            if held is None:
                first = frame.time or 0.0
                held = (0.0, pixels)
                continue
            time = max((frame.time or 0.0) - first, held[0])
            while emitted / FPS < (held[0] + time) / 2:
                yield held[1]
                emitted += 1
            held = (time, pixels)
        if held is None:
            raise UnreadableVideo(f"{path} holds no picture that can be decoded.")
        rate = container.streams.video[0].average_rate or FPS
        end = held[0] + 1 / float(rate)
        while emitted == 0 or (emitted + 0.5) / FPS <= end:
            yield held[1]
            emitted += 1


def sound_of(path: str | os.PathLike) -> Float[np.ndarray, " n"]:
    """The sound of a file at 16 kHz, mono, in [-1, 1], from the instant of the first picture on.

    Empty where the file has none. Raises UnreadableVideo.
    """
    with _opened(path) as container:
        if not container.streams.audio:
            return np.zeros(0, np.float32)
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
        pieces, first = [], None
        for frame in container.decode(audio=0):
            first = (frame.time or 0.0) if first is None else first
            pieces += resampler.resample(frame)
        pieces += resampler.resample(None)
        zero = _beginning(container)
    if not pieces or first is None:
        return np.zeros(0, np.float32)
    audio = np.concatenate([piece.to_ndarray()[0] for piece in pieces])
    lead = 0 if zero is None else round((first - zero) * SAMPLE_RATE)
    return np.pad(audio, (max(lead, 0), 0))[max(-lead, 0) :]


def _beginning(container: InputContainer) -> float | None:
    """The time stamp of the first picture in seconds; None where there are only sounds."""
    for stream in container.streams.video:
        return float((stream.start_time or 0) * (stream.time_base or 0))
    return None


def read(path: str | os.PathLike) -> Footage:
    """A whole video in memory, its sound cut or padded with silence to the length of the frames.

    Raises:
      UnreadableVideo: missing, damaged, or without pictures.
    """
    frames = np.stack(list(frames_of(path)))
    return Footage(frames, fit(sound_of(path), len(frames)))


def fit(audio: Float[np.ndarray, " n"], frames: int) -> Float[np.ndarray, " m"]:
    """The wave cut, or padded with silence, to exactly the length of that many frames."""
    length = frames * SAMPLES_PER_FRAME
    return np.pad(audio[:length], (0, max(0, length - len(audio))))


@contextlib.contextmanager
def _opened(path: str | os.PathLike) -> Iterator[InputContainer]:
    try:
        with av.open(path, "r") as container:
            yield container
    except FileNotFoundError as error:
        raise UnreadableVideo(f"There is no video at {path}.") from error
    except (av.FFmpegError, OSError) as error:
        raise UnreadableVideo(f"{path} can't be read as a video ({error}).") from error


def _upright(frame: av.VideoFrame) -> UInt8[np.ndarray, "h w 3"]:
    pixels = frame.to_ndarray(format="rgb24")
    turns = math.floor(frame.rotation / 90 + 0.5)
    return np.ascontiguousarray(np.rot90(pixels, turns)) if turns % 4 else pixels
