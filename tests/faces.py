"""A real face for tests: scikit-image's astronaut (NASA, public domain), still and moving."""

import functools

import numpy as np
import skimage.data
from PIL import Image


@functools.cache
def astronaut() -> np.ndarray:
    """uint8 (512, 512, 3), read-only."""
    image = skimage.data.astronaut()
    image.flags.writeable = False
    return image


def moving(frames: int, shifts: np.ndarray, height: int = 240, width: int = 320) -> np.ndarray:
    """The astronaut's head before a grey wall, moved by `shifts` (frames, 2) pixels (x, y)."""
    head = np.asarray(Image.fromarray(astronaut()[:260, 100:360]).resize((160, 160)))
    video = np.full((frames, height, width, 3), 127, np.uint8)
    for frame, (x, y) in zip(video, np.rint(shifts).astype(int) + np.array([80, 40]), strict=True):
        frame[y : y + 160, x : x + 160] = head
    return video


def tone(frames: int) -> np.ndarray:
    """A 220 Hz tone as long as the frames."""
    return (0.3 * np.sin(2 * np.pi * 220 / 16_000 * np.arange(640 * frames))).astype(np.float32)
