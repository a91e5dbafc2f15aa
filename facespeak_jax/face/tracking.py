"""The face in a video: followed from frame to frame and cut out on one canonical square."""

import functools
import itertools
import os
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from facespeak_jax import video
from facespeak_jax.errors import RejectedClip
from facespeak_jax.face import portrait
from facespeak_jax.rates import FPS

DETECT_EVERY = 3
LONGEST = 60.0  # seconds
MISSED = 0.2  # at most this fraction of the looked-at frames may show no face
RIVAL = 0.6  # another face at least this large beside the followed one, in RIVALRY of the frames,
RIVALRY = 0.5  # leaves open who is speaking
SMOOTHING = 1.0  # frames, of the Gaussian over the landmarks
THUMBNAIL = 32
CUT = 30.0  # grey levels: a mean change of the thumbnail this large in one frame,
CUT_RATIO = 6.0  # and this many times the clip's median change, is a cut
MARGIN = 0.04  # landmarks stay this far inside the square


class Track(NamedTuple):
    """Where the face of a video is; T frames at 25 a second."""

    square: portrait.Square  # one for the whole video, so the head moves in it as it did
    landmarks: Float[np.ndarray, "t 5 2"]  # in [0, 1] of the square, order as in `portrait.Face`


class _Look(NamedTuple):
    """What is kept of the first pass over a video."""

    sampled: list[int]  # frames that were searched
    faces: list[list[portrait.Face]]  # for each of those
    changes: Float[np.ndarray, " changes"]  # mean change of the thumbnail from frame to frame
    shape: tuple[int, int]
    frames: int


def track(path: str | os.PathLike) -> Track:
    """Finds the face of one person talking, over the whole video.

    Raises:
      RejectedClip: there is no face, more than one that might be meant, a cut, more than a minute,
        or a head that leaves the square around its median place. UnreadableVideo.
    """
    look = _look(path)
    if look.frames > LONGEST * FPS:
        raise RejectedClip(f"too long: cut it into sentences of at most {LONGEST:g} s")
    _reject_cuts(look.changes)
    landmarks = _landmarks(look)
    square = portrait.detected_square(landmarks)
    relative = ((landmarks - square.corner) / square.side).astype(np.float32)
    if relative.min() < MARGIN or relative.max() > 1 - MARGIN:
        raise RejectedClip("out of crop: the head moves out of the square around its median place")
    return Track(square, relative)


def crop(
    path: str | os.PathLike, square: portrait.Square, size: int
) -> Iterator[UInt8[np.ndarray, "{size} {size} 3"]]:
    """The square of every frame of a video at size × size pixels."""
    for frame in video.frames_of(path):
        yield portrait.cut(frame, square, size)


def _look(path: str | os.PathLike) -> _Look:
    """The first pass: faces in every DETECT_EVERY-th frame and in the last, and cuts."""
    sampled, faces, thumbnails = [], [], []
    frame, index, search = None, -1, functools.partial(_search, scales=[])
    for index, frame in enumerate(itertools.islice(video.frames_of(path), int(LONGEST * FPS) + 1)):
        small = Image.fromarray(frame).convert("L").resize((THUMBNAIL, THUMBNAIL))
        thumbnails.append(np.asarray(small, np.float32))
        if index % DETECT_EVERY == 0:
            sampled.append(index)
            faces.append(search(frame))
    if frame is None:
        raise RejectedClip("too short: there is no frame")
    if sampled[-1] != index:
        sampled.append(index)
        faces.append(search(frame))
    changes = np.abs(np.diff(np.stack(thumbnails), axis=0)).mean(axis=(1, 2))
    return _Look(sampled, faces, changes, frame.shape[:2], index + 1)


def _search(frame: UInt8[np.ndarray, "h w 3"], *, scales: list[float]) -> list[portrait.Face]:
    """The larger faces of a frame, looked for first at the scale that found the last one."""
    for scale in [*scales, *portrait.detection_scales(frame)]:
        if faces := portrait.detect(frame, scale):
            scales[:] = [scale]
            return [portrait.look_again(frame, face) for face in portrait.foreground(faces)]
    return []


def _reject_cuts(changes: Float[np.ndarray, " changes"]) -> None:
    cuts = np.flatnonzero((changes > CUT) & (changes > CUT_RATIO * np.median(changes)))
    if len(cuts):
        raise RejectedClip(f"cut detected: the picture changes at {(cuts[0] + 1) / FPS:.2f} s")


def _landmarks(look: _Look) -> Float[np.ndarray, "t 5 2"]:
    """The landmarks of the followed face in every frame, in pixels, interpolated and smoothed."""
    followed = dict(_follow(look))
    missing = len(look.sampled) - len(followed)
    if missing > MISSED * len(look.sampled):
        raise RejectedClip(f"no face in {missing} of the {len(look.sampled)} frames looked at")
    rivals = 0
    for index, faces in zip(look.sampled, look.faces, strict=True):
        if index in followed:
            face = followed[index]
            rivals += any(f is not face and f.size > RIVAL * face.size for f in faces)
    if rivals > RIVALRY * len(followed):
        raise RejectedClip("several faces: it is not clear who is speaking")
    points = np.stack([face.landmarks.reshape(-1) for face in followed.values()], axis=1)
    times = np.arange(look.frames)
    tracks = [_smooth(np.interp(times, list(followed), values)) for values in points]
    return np.stack(tracks, axis=1).reshape(-1, 5, 2)


def _follow(look: _Look) -> Iterator[tuple[int, portrait.Face]]:
    """Starts at the largest, most central face and goes to the nearest one from look to look."""
    height, width = look.shape
    middle = np.array([width / 2, height / 2])
    last = None
    for index, faces in zip(look.sampled, look.faces, strict=True):
        if not faces:
            continue
        if last is None:
            far = [np.linalg.norm(_centre(f) - middle) / max(height, width) for f in faces]
            face = max(zip(faces, far, strict=True), key=lambda pair: pair[0].size * (1 - pair[1]))[
                0
            ]
        else:
            face = min(faces, key=functools.partial(_distance, last))
            if _distance(last, face) > last.size:
                continue  # somebody else: the followed face was missed
        last = face
        yield index, face


def _centre(face: portrait.Face) -> Float[np.ndarray, "2"]:
    return (face.box[:2] + face.box[2:]) / 2


def _distance(a: portrait.Face, b: portrait.Face) -> float:
    return float(np.linalg.norm(_centre(a) - _centre(b)))


def _smooth(values: Float[np.ndarray, " t"]) -> Float[np.ndarray, " t"]:
    """A Gaussian over time, the ends continued."""
    reach = int(np.ceil(3 * SMOOTHING))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / SMOOTHING) ** 2)
    return np.convolve(np.pad(values, reach, mode="edge"), kernel / kernel.sum(), mode="valid")
