"""Pictures of a report: contact sheets, pairs of mel spectrograms, traces of the head."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw

from facespeak_jax.speech.mel import picture

COLUMNS = 8
_LABEL = 14  # pixels above each strip
_COLOURS = ((200, 40, 40), (30, 140, 60), (40, 80, 200))  # of yaw, pitch and roll
_REACH = 30.0  # degrees from the middle to the edge of a trace


def contact_sheet(rows: Mapping[str, UInt8[np.ndarray, "_ h w 3"]]) -> UInt8[np.ndarray, "y x 3"]:
    """A strip of evenly spaced frames for each row, under its name."""
    strips = []
    for name, frames in rows.items():
        at = np.linspace(0, len(frames) - 1, COLUMNS).round().astype(int)
        strip = np.concatenate(list(frames[at]), axis=1)
        strips += [_label(name, strip.shape[1]), strip]
    return _stacked(strips)


def mel_pair(rows: Mapping[str, Float[np.ndarray, "_ k"]]) -> UInt8[np.ndarray, "h w 3"]:
    """Mel spectrograms under each other, at the same pace."""
    strips = []
    for name, mel in rows.items():
        strip = np.repeat(picture(mel), 2, axis=0)
        strips += [_label(name, strip.shape[1]), strip]
    return _stacked(strips)


def traces(rows: Mapping[str, Float[np.ndarray, "_ 3"]]) -> UInt8[np.ndarray, "h w 3"]:
    """Yaw (red), pitch (green) and roll (blue) over time, ±30° from top to bottom."""
    strips = []
    for name, pose in rows.items():
        image = Image.new("RGB", (max(240, 2 * len(pose)), 90), "white")
        draw = ImageDraw.Draw(image)
        draw.line([(0, 45), (image.width, 45)], fill=(210, 210, 210))
        for angle, colour in enumerate(_COLOURS):
            points = [
                (2 * at, 45 - 45 * value / _REACH)
                for at, value in enumerate(pose[:, angle].tolist())
                if value == value
            ]
            draw.line(points, fill=colour)
        strip = np.asarray(image)
        strips += [_label(name, strip.shape[1]), strip]
    return _stacked(strips)


def _label(name: str, width: int) -> UInt8[np.ndarray, "h w 3"]:
    image = Image.new("RGB", (max(width, 8 * len(name)), _LABEL), "white")
    ImageDraw.Draw(image).text((2, 1), name, fill="black")
    return np.asarray(image)


def _stacked(strips: Sequence[np.ndarray]) -> UInt8[np.ndarray, "h w 3"]:
    width = max(strip.shape[1] for strip in strips)
    return np.concatenate(
        [
            np.pad(strip, [(0, 0), (0, width - strip.shape[1]), (0, 0)], constant_values=255)
            for strip in strips
        ]
    )
