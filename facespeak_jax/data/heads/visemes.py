"""Phoneme timings to the mouth's ARKit units, with coarticulation.

Each phoneme asks for some units with some strength. A unit's curve is the strength-weighted mean of
what is asked for within its reach, so weak phonemes take the shape of their neighbours and rounding
spreads furthest. Lips that must meet (p, b, m) or touch the teeth (f, v) then do so whatever the
neighbours ask.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int32

from facespeak_jax.data.heads.units import ARKIT, UNIT
from facespeak_jax.rates import MELS_PER_FRAME


@dataclass(frozen=True)
class Shape:
    """What one sound asks of the mouth, each in 0…1; `hold` is how strongly it insists."""

    hold: float
    jaw: float = 0.0
    funnel: float = 0.0
    pucker: float = 0.0
    stretch: float = 0.0
    smile: float = 0.0
    lower: float = 0.0
    upper: float = 0.0
    tongue: float = 0.0


_REST = Shape(0.6)
_OPEN = Shape(0.9, jaw=0.58, lower=0.3, upper=0.1)
_CLOSE_FRONT = Shape(0.9, jaw=0.14, stretch=0.4, smile=0.25, lower=0.3, upper=0.12)
_NEAR_FRONT = Shape(0.6, jaw=0.24, stretch=0.22, smile=0.1, lower=0.25, upper=0.08)
_CLOSE_BACK = Shape(1.0, jaw=0.12, funnel=0.3, pucker=0.7)
_NEAR_BACK = Shape(0.7, jaw=0.2, funnel=0.4, pucker=0.4)
_MID_BACK = Shape(0.9, jaw=0.45, funnel=0.5, pucker=0.2, lower=0.1)
_MID_FRONT = Shape(0.8, jaw=0.38, stretch=0.22, lower=0.3, upper=0.12)
_HUSHED = Shape(0.9, jaw=0.1, funnel=0.55, pucker=0.25, lower=0.2, upper=0.15)
_LIPS_MEET = Shape(0.8)
_LIP_ON_TEETH = Shape(0.8, jaw=0.06, upper=0.2)
_DENTAL = Shape(0.6, jaw=0.18, lower=0.25, tongue=0.45)
_HISS = Shape(0.8, jaw=0.06, stretch=0.25, lower=0.3, upper=0.12)
_TIP = Shape(0.35, jaw=0.13, stretch=0.08, lower=0.2)
_BACK = Shape(0.25, jaw=0.2, lower=0.15)

# One shape, or two for diphthongs.
SHAPES: dict[str, tuple[Shape, ...]] = {
    "AA": (_OPEN,),
    "AE": (Shape(0.9, jaw=0.52, stretch=0.25, smile=0.1, lower=0.35, upper=0.18),),
    "AH": (Shape(0.6, jaw=0.36, lower=0.2, upper=0.05),),
    "AO": (_MID_BACK,),
    "AW": (_OPEN, _NEAR_BACK),
    "AY": (_OPEN, _NEAR_FRONT),
    "EH": (_MID_FRONT,),
    "ER": (Shape(0.7, jaw=0.2, funnel=0.4, pucker=0.2, lower=0.1),),
    "EY": (_MID_FRONT, _CLOSE_FRONT),
    "IH": (_NEAR_FRONT,),
    "IY": (_CLOSE_FRONT,),
    "OW": (_MID_BACK, _CLOSE_BACK),
    "OY": (_MID_BACK, _NEAR_FRONT),
    "UH": (_NEAR_BACK,),
    "UW": (_CLOSE_BACK,),
    **dict.fromkeys(("P", "B", "M"), (_LIPS_MEET,)),
    **dict.fromkeys(("F", "V"), (_LIP_ON_TEETH,)),
    **dict.fromkeys(("TH", "DH"), (_DENTAL,)),
    **dict.fromkeys(("S", "Z"), (_HISS,)),
    **dict.fromkeys(("SH", "ZH", "CH", "JH"), (_HUSHED,)),
    **dict.fromkeys(("T", "D", "N"), (_TIP,)),
    **dict.fromkeys(("K", "G", "NG"), (_BACK,)),
    "HH": (Shape(0.1, jaw=0.25),),
    "L": (Shape(0.45, jaw=0.2, lower=0.25, tongue=0.15),),
    "R": (Shape(0.6, jaw=0.14, funnel=0.4, pucker=0.3),),
    "W": (Shape(1.0, jaw=0.06, funnel=0.2, pucker=0.8),),
    "Y": (Shape(0.6, jaw=0.12, stretch=0.3, smile=0.15, lower=0.2),),
}
BILABIAL = ("P", "B", "M")
LABIODENTAL = ("F", "V")

# A vowel's opening by its stress digit.
_STRESS = {"0": 0.75, "1": 1.0, "2": 0.9}
# Reach of each quantity to either side, in mel frames (10 ms).
_REACH = {
    "jaw": 9,
    "funnel": 14,
    "pucker": 14,
    "stretch": 9,
    "smile": 14,
    "lower": 7,
    "upper": 7,
    "tongue": 5,
}
_DRIVES: dict[str, tuple[str, ...]] = {
    "jaw": ("jawOpen",),
    "funnel": ("mouthFunnel",),
    "pucker": ("mouthPucker",),
    "stretch": ("mouthStretchLeft", "mouthStretchRight"),
    "smile": ("mouthSmileLeft", "mouthSmileRight"),
    "lower": ("mouthLowerDownLeft", "mouthLowerDownRight"),
    "upper": ("mouthUpperUpLeft", "mouthUpperUpRight"),
    "tongue": ("tongueOut",),
}
_MEETING = {
    "mouthPressLeft": 0.3,
    "mouthPressRight": 0.3,
    "mouthRollLower": 0.25,
    "mouthRollUpper": 0.2,
}
_ON_TEETH = {"mouthRollLower": 0.6}
_PAUSE = 12  # a boundary shorter than this many mel frames is no pause: speech runs through it
_RAMP = 5.0  # mel frames in which lips close or part


def viseme_units(
    phonemes: Sequence[str], durations: Int32[np.ndarray, " symbols"]
) -> Float32[np.ndarray, "frames 52"]:
    """Units of the mouth at 25 fps, 0…1, for project symbols and their durations in mel frames.

    The durations must sum to a whole number of video frames (a multiple of 4); other units are 0.
    """
    frames = int(durations.sum()) // MELS_PER_FRAME
    units = np.zeros((frames, len(ARKIT)))
    for quantity, curve in _curves(phonemes, durations).items():
        for name in _DRIVES[quantity]:
            units[:, UNIT[name]] = curve
    _touch(
        units, _contact(phonemes, durations, LABIODENTAL, frames), _ON_TEETH, jaw=0.06, upper=0.6
    )
    _touch(units, _contact(phonemes, durations, BILABIAL, frames), _MEETING, jaw=0.0, upper=0.0)
    return np.clip(units, 0, 1).astype(np.float32)


def lip_opening(
    phonemes: Sequence[str], durations: Int32[np.ndarray, " symbols"]
) -> Float32[np.ndarray, " frames"]:
    """The inner lip gap over the eye distance that the visemes aim at, per video frame.

    This is the reference against which lips in generated video can be judged.
    """
    return opening_of(viseme_units(phonemes, durations))


def opening_of(units: Float32[np.ndarray, "frames 52"]) -> Float32[np.ndarray, " frames"]:
    """Inner lip gap over eye distance of an average head with these units.

    A linear fit to rendered heads (correlation 0.99 on each of ten), cut at closed lips.
    """
    gap = sum(weight * units[:, UNIT[name]] for name, weight in _GAP.items())
    return np.maximum(gap, 0.0).astype(np.float32)


def _segments(
    phonemes: Sequence[str], durations: Int32[np.ndarray, " symbols"]
) -> list[tuple[Shape, float, int]]:
    """Shape, opening factor and length in mel frames of each piece of the sentence."""
    pieces = []
    for symbol, length in zip(phonemes, durations.tolist(), strict=True):
        phone = symbol.rstrip("012")
        if phone not in SHAPES:
            # Without a pause, or before one is long enough to close the mouth, nothing is asked.
            rest = _REST if length >= _PAUSE else Shape(0.05)
            pieces.append((rest, 1.0, length))
            continue
        shapes = SHAPES[phone]
        first = round(0.55 * length) if len(shapes) == 2 else length
        for shape, part in zip(shapes, (first, length - first), strict=False):
            pieces.append((shape, _STRESS.get(symbol[-1], 1.0), part))
    return pieces


def _curves(
    phonemes: Sequence[str], durations: Int32[np.ndarray, " symbols"]
) -> dict[str, Float64[np.ndarray, " frames"]]:
    """Each quantity at 25 fps: the weighted mean of what is asked within its reach."""
    pieces = _segments(phonemes, durations)
    lengths = [length for _, _, length in pieces]
    hold = np.repeat([shape.hold for shape, _, _ in pieces], lengths)
    curves = {}
    for quantity, reach in _REACH.items():
        scale = [factor if quantity in ("jaw", "lower") else 1.0 for _, factor, _ in pieces]
        asked = np.array([getattr(shape, quantity) for shape, _, _ in pieces]) * scale
        kernel = np.hanning(2 * reach + 1)
        weight = _smooth(hold, kernel)
        curve = _smooth(hold * np.repeat(asked, lengths), kernel) / weight
        curves[quantity] = curve.reshape(-1, MELS_PER_FRAME).mean(axis=1)
    return curves


def _smooth(
    values: Float64[np.ndarray, " mels"], kernel: Float64[np.ndarray, " taps"]
) -> Float64[np.ndarray, " mels"]:
    # The ends are at rest for as long as the kernel reaches.
    reach = len(kernel) // 2
    return np.convolve(np.pad(values, reach, mode="edge"), kernel, mode="valid")


def _contact(
    phonemes: Sequence[str],
    durations: Int32[np.ndarray, " symbols"],
    kind: tuple[str, ...],
    frames: int,
) -> Float64[np.ndarray, " frames"]:
    """0…1: how far each frame makes a contact of this kind; 1 at a frame or more of each."""
    ends = np.cumsum(durations)
    middles = MELS_PER_FRAME * (np.arange(frames) + 0.5)
    contact = np.zeros(frames)
    for symbol, end, length in zip(phonemes, ends.tolist(), durations.tolist(), strict=True):
        if symbol not in kind:
            continue
        # The nearest frame sees the contact even when the sound is shorter than a frame.
        centre = middles[np.argmin(np.abs(middles - (end - length / 2)))]
        contact = np.maximum(contact, 1 - (np.abs(middles - centre) - 0.3 * length) / _RAMP)
    return np.clip(contact, 0, 1)


def _touch(
    units: Float64[np.ndarray, "frames 52"],
    contact: Float64[np.ndarray, " frames"],
    adds: dict[str, float],
    jaw: float,
    upper: float,
) -> None:
    """Bring the lips into contact, in place: what parts them gives way to what closes them."""
    away = 1 - contact
    units[:, UNIT["jawOpen"]] = away * units[:, UNIT["jawOpen"]] + contact * jaw
    for name in _DRIVES["lower"] + _DRIVES["tongue"] + ("mouthFunnel",):
        units[:, UNIT[name]] *= away
    for name in _DRIVES["upper"]:
        units[:, UNIT[name]] *= away + upper * contact
    for name, value in adds.items():
        units[:, UNIT[name]] = np.maximum(units[:, UNIT[name]], contact * value)


# Left and right move alike, so one side stands for both.
_GAP = {
    "jawOpen": 0.56,
    "mouthLowerDownLeft": 0.06,
    "mouthUpperUpLeft": 0.11,
    "mouthFunnel": 0.22,
}
