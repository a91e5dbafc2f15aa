"""All that moves in a talking head besides the visemes: head, brows, lids, gaze, a passing smile.

Everything is a pure function of the seed, the timed phonemes and the wave. Nods and brows follow
stress and loudness; the head drifts slowly, less in pauses than in speech; people blink more
between phrases.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32

from facespeak_jax.data.heads.units import ARKIT, UNIT
from facespeak_jax.rates import FPS, MELS_PER_FRAME, SAMPLES_PER_FRAME

POSE_LIMITS = (25.0, 12.0, 8.0)  # degrees of yaw, pitch, roll that are approached, never passed
_POSE_STAY = (4.0, 2.0, 1.5)  # deviation of a clip's middle pose
_POSE_DRIFT = (6.5, 3.0, 2.2)  # deviation of the motion about it
_BLINK = (0.5, 1.0, 0.85, 0.45, 0.15)  # lids close faster than they open
_BLINKS_PER_SECOND = 0.3
_BLINK_AT_PAUSE = 0.5
_PAUSE = 20  # mel frames from which a boundary is a pause
_GAZE_SHIFTS_PER_SECOND = 0.7
_EYE_REACH = (30.0, 22.0)  # degrees an eye turns at unit 1: sideways, up or down
_SWAY = 0.008  # deviation of the person's place, in widths of the frame


@dataclass(frozen=True)
class Performance:
    """One clip's motion: `pose` in degrees (yaw, pitch, roll), `shift` of the whole person in
    widths of the frame, and the units that visemes leave alone."""

    pose: Float32[np.ndarray, "frames 3"]
    shift: Float32[np.ndarray, "frames 2"]
    units: Float32[np.ndarray, "frames 52"]


def perform(
    seed: Sequence[int],
    phonemes: Sequence[str],
    durations: Int32[np.ndarray, " symbols"],
    wave: Float32[np.ndarray, " samples"],
) -> Performance:
    """Head motion and expression for a spoken sentence.

    `durations` are mel frames, `wave` is 16 kHz: 4 mel frames and 640 samples are a video frame.
    The same arguments always give the same motion.
    """
    rng = np.random.default_rng([*seed, 0x6D6F7665])
    loud = loudness(wave)
    accents = _accents(rng, phonemes, durations, loud)
    units = np.zeros((len(loud), len(ARKIT)))
    pose = _pose(rng, phonemes, loud, accents)
    _brows(rng, units, phonemes, accents)
    _smile(rng, units)
    _gaze(rng, units, pose)
    _blinks(rng, units, phonemes, durations)
    shift = _SWAY * np.stack([_drift(rng, len(loud), 16.0) for _ in range(2)], axis=1)
    return Performance(
        pose.astype(np.float32),
        shift.astype(np.float32),
        np.clip(units, 0, 1).astype(np.float32),
    )


def loudness(wave: Float32[np.ndarray, " samples"]) -> Float64[np.ndarray, " frames"]:
    """0 (silence) … 1 (as loud as the clip gets) per video frame, smoothed over a syllable."""
    power = np.square(wave, dtype=np.float64).reshape(-1, SAMPLES_PER_FRAME).mean(axis=1)
    decibels = 10 * np.log10(power + 1e-9)
    return _blur(np.clip((decibels - decibels.max() + 40) / 40, 0, 1), 1.5)


def _blur(values: Float64[np.ndarray, " n"], width: float) -> Float64[np.ndarray, " n"]:
    """Gaussian smoothing, the ends repeated; `width` is its deviation in frames."""
    kernel = _gaussian(width)
    reach = len(kernel) // 2
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")


def _gaussian(width: float) -> Float64[np.ndarray, " taps"]:
    reach = int(np.ceil(3 * width))
    return np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / width))


def _drift(rng: np.random.Generator, frames: int, width: float) -> Float64[np.ndarray, " frames"]:
    """Stationary smooth noise of unit deviation that forgets itself within about two widths."""
    kernel = _gaussian(width)
    noise = rng.standard_normal(frames + len(kernel) - 1)
    return np.convolve(noise, kernel / np.linalg.norm(kernel), mode="valid")


def _accents(
    rng: np.random.Generator,
    phonemes: Sequence[str],
    durations: Int32[np.ndarray, " symbols"],
    loud: Float64[np.ndarray, " frames"],
) -> list[tuple[int, float]]:
    """Frame and strength (0…1) of the stressed syllables the body marks, 0.4 s or more apart."""
    ends = np.cumsum(durations)
    found: list[tuple[int, float]] = []
    for symbol, end, length in zip(phonemes, ends.tolist(), durations.tolist(), strict=True):
        frame = min(int(end - length / 2) // MELS_PER_FRAME, len(loud) - 1)
        marked = rng.random() < 0.6 * loud[frame]
        if symbol.endswith("1") and marked and (not found or frame - found[-1][0] >= 10):
            found.append((frame, float(loud[frame] * rng.uniform(0.4, 1))))
    return found


def _bump(frames: int, centre: int, width: float) -> Float64[np.ndarray, " frames"]:
    return np.exp(-0.5 * np.square((np.arange(frames) - centre) / width))


def _pose(
    rng: np.random.Generator,
    phonemes: Sequence[str],
    loud: Float64[np.ndarray, " frames"],
    accents: list[tuple[int, float]],
) -> Float64[np.ndarray, "frames 3"]:
    frames = len(loud)
    # Motion is spent on speech: time runs slower for the drift where nothing is said.
    clock = np.cumsum(0.45 + 0.75 * _blur(loud, 6.0))
    pose = np.zeros((frames, 3))
    for axis, (stay, drift) in enumerate(zip(_POSE_STAY, _POSE_DRIFT, strict=True)):
        slow = _drift(rng, 2 * frames, 14.0)
        fast = _drift(rng, 2 * frames, 5.0)
        path = 0.92 * slow + 0.39 * fast
        pose[:, axis] = stay * rng.standard_normal() + drift * np.interp(
            clock, np.arange(2 * frames), path
        )
    for frame, strength in accents:
        depth = strength * rng.uniform(1.0, 5.0)
        # A nod: down on the stressed vowel, a little above the start after it.
        pose[:, 1] += depth * (0.35 * _bump(frames, frame + 7, 3.5) - _bump(frames, frame, 2.5))
        pose[:, 2] += strength * rng.normal(0, 1.5) * _bump(frames, frame + 1, 4.0)
    closing = 3.0 if "?" in phonemes else -2.0
    pose[:, 1] += closing * rng.uniform(0.3, 1) * _bump(frames, frames - 4, 6.0)
    limits = np.array(POSE_LIMITS)
    return limits * np.tanh(pose / limits)


def _brows(
    rng: np.random.Generator,
    units: Float64[np.ndarray, "frames 52"],
    phonemes: Sequence[str],
    accents: list[tuple[int, float]],
) -> None:
    frames = len(units)
    raised = 0.08 * np.maximum(_drift(rng, frames, 12.0), 0)
    for frame, strength in accents:
        if rng.random() < 0.6:
            raised += (
                strength
                * rng.uniform(0.2, 0.7)
                * _bump(frames, frame + int(rng.integers(-2, 3)), 4.0)
            )
    if "?" in phonemes:
        raised += rng.uniform(0.2, 0.6) * _bump(frames, frames - 8, 8.0)
    inner = rng.uniform(0.6, 1.0)
    units[:, UNIT["browInnerUp"]] = inner * raised
    frown = 0.15 * np.maximum(_drift(rng, frames, 14.0) - 0.6, 0)
    for side in ("Left", "Right"):
        units[:, UNIT[f"browOuterUp{side}"]] = rng.uniform(0.7, 1.0) * raised
        units[:, UNIT[f"browDown{side}"]] = frown
        units[:, UNIT[f"eyeWide{side}"]] = 0.3 * raised
        units[:, UNIT[f"eyeSquint{side}"]] = 0.6 * frown


def _smile(rng: np.random.Generator, units: Float64[np.ndarray, "frames 52"]) -> None:
    mood = rng.uniform(-0.05, 0.15)
    smile = np.maximum(mood + 0.06 * _drift(rng, len(units), 18.0), 0)
    for side in ("Left", "Right"):
        units[:, UNIT[f"mouthSmile{side}"]] = smile
        units[:, UNIT[f"cheekSquint{side}"]] = 0.8 * smile


def _gaze(
    rng: np.random.Generator,
    units: Float64[np.ndarray, "frames 52"],
    pose: Float64[np.ndarray, "frames 3"],
) -> None:
    """Eyes rest near the camera while the head turns, and jump to another point now and then."""
    frames = len(units)
    jumps = np.flatnonzero(rng.random(frames) < _GAZE_SHIFTS_PER_SECOND / FPS)
    points = rng.normal(0, (5.0, 3.0), (len(jumps) + 1, 2))  # degrees right and up
    held = np.repeat(points, np.diff(jumps, prepend=0, append=frames), axis=0)
    for axis, (name_up, name_down) in enumerate(
        (
            (("OutLeft", "InRight"), ("InLeft", "OutRight")),
            (("UpLeft", "UpRight"), ("DownLeft", "DownRight")),
        )
    ):
        turn = _blur(held[:, axis], 0.7) - 0.75 * pose[:, axis]
        for name in name_up:
            units[:, UNIT[f"eyeLook{name}"]] = np.maximum(turn, 0) / _EYE_REACH[axis]
        for name in name_down:
            units[:, UNIT[f"eyeLook{name}"]] = np.maximum(-turn, 0) / _EYE_REACH[axis]


def _blinks(
    rng: np.random.Generator,
    units: Float64[np.ndarray, "frames 52"],
    phonemes: Sequence[str],
    durations: Int32[np.ndarray, " symbols"],
) -> None:
    frames = len(units)
    starts = set(np.flatnonzero(rng.random(frames) < _BLINKS_PER_SECOND / FPS).tolist())
    ends = np.cumsum(durations)
    for symbol, end, length in zip(phonemes, ends.tolist(), durations.tolist(), strict=True):
        silent = not symbol[0].isupper() and symbol != "<bos>"
        if silent and length >= _PAUSE and rng.random() < _BLINK_AT_PAUSE:
            starts.add(int(end - length) // MELS_PER_FRAME)
    lids = np.zeros(frames + len(_BLINK))
    last = -FPS
    for start in sorted(starts):
        if start - last >= FPS // 2:
            lids[start : start + len(_BLINK)] = _BLINK
            last = start
    for side in ("Left", "Right"):
        # A lid follows the eye that looks down.
        follow = 0.35 * units[:, UNIT[f"eyeLookDown{side}"]]
        units[:, UNIT[f"eyeBlink{side}"]] = np.maximum(lids[:frames], follow)
