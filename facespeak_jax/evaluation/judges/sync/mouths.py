"""The lower half of a face, upright and always of the same size, in every frame of a clip."""

import numpy as np
from jaxtyping import Float, UInt8

from facespeak_jax.evaluation.judges import face_plugin
from facespeak_jax.evaluation.judges.face import TEMPLATE

SIZE = 56  # pixels; training cuts 48 of them out at random, judging the middle
SMOOTHED = 9  # frames over which where a face is is averaged: lips must not move their own crop
_GREY = np.array([0.299, 0.587, 0.114])
# Of the 112 px face template, the 72 px square with the mouth in its middle.
_TARGET = (TEMPLATE - np.array([20.0, 50.0])) * (SIZE / 72.0)


def cut(
    frames: UInt8[np.ndarray, "t h w 3"], landmarks: Float[np.ndarray, "t 5 2"]
) -> UInt8[np.ndarray, "t s s"]:
    """Grey mouths; landmarks (eyes, nose, mouth corners) in [0, 1] of the frame."""
    height, width = frames.shape[1:3]
    points = smoothed(landmarks) * np.array([width, height])
    aligned = (
        face_plugin.aligned(frame, where, _TARGET, SIZE)
        for frame, where in zip(frames, points, strict=True)
    )
    return np.stack([np.rint(crop @ _GREY).astype(np.uint8) for crop in aligned])


def smoothed(landmarks: Float[np.ndarray, "t 5 2"]) -> Float[np.ndarray, "t 5 2"]:
    """A moving average over SMOOTHED frames; at either end the edge is repeated."""
    half = SMOOTHED // 2
    padded = np.pad(landmarks, [(half, half), (0, 0), (0, 0)], mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, SMOOTHED, axis=0)
    return windows.mean(axis=-1)
