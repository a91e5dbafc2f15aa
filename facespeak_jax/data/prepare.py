"""Any video of someone talking becomes a clip of a corpus: one pure function for all builders.

Decode, find and follow the face, cut the stabilised canonical square, 25 fps, 16 kHz, or a reason
why the video can't be used.
"""

import os

import numpy as np
from jaxtyping import Float

from facespeak_jax import video
from facespeak_jax.data import schema
from facespeak_jax.errors import RejectedClip
from facespeak_jax.face import portrait, tracking
from facespeak_jax.rates import FPS

SHORTEST = 1.0  # seconds
SMALLEST = 0.5  # pixels of the square for each pixel of the clip
SILENCE = 1e-3  # root mean square of a wave in [-1, 1]

# Half sizes of the boxes in face units (eyes to mouth), wide enough for a wide-open mouth.
MOUTH_BOX = (0.60, 0.45, 0.60)  # sideways, up, down
EYE_BOX = (0.90, 0.45, 0.35)


def prepare(
    path: str | os.PathLike, *, text: str, speaker: str, clip_id: str, size: int
) -> schema.Clip:
    """One video of one person speaking becomes one clip of size × size frames.

    The crop is one square for the whole clip, so the head moves in it as it moved before the
    camera. Ground truth that only a generated corpus knows stays empty.

    Raises:
      RejectedClip: why the video can't be used. UnreadableVideo: it can't be decoded.
    """
    square, landmarks = tracking.track(path)
    if len(landmarks) < SHORTEST * FPS:
        raise RejectedClip(f"too short: {len(landmarks)} frames, {SHORTEST:g} s are needed")
    if square.side < SMALLEST * size:
        raise RejectedClip(f"face too small: the head is {square.side:.0f} px wide for {size} px")
    audio = video.fit(video.sound_of(path), len(landmarks))
    if np.sqrt(np.mean(np.square(audio))) < SILENCE:
        raise RejectedClip("silent: there is no sound, or hardly any")
    mouth_box, eye_box = feature_boxes(landmarks)
    return schema.Clip(
        clip_id=clip_id,
        speaker=speaker,
        text=text,
        frames=[schema.encode_image(frame) for frame in tracking.crop(path, square, size)],
        audio=np.rint(np.clip(audio, -1, 1) * 32767).astype(np.int16),
        mouth_box=mouth_box,
        eye_box=eye_box,
        landmarks=landmarks,
    )


def feature_boxes(
    landmarks: Float[np.ndarray, "t 5 2"],
) -> tuple[Float[np.ndarray, "t 4"], Float[np.ndarray, "t 4"]]:
    """The boxes (x0, y0, x1, y1) around mouth and eyes of each frame.

    They have the same size in all frames of a clip and follow the landmarks; all in [0, 1].
    """
    unit = portrait.detected_square(landmarks).side / portrait.SQUARE
    boxes = []
    for points, half in ((landmarks[:, 3:], MOUTH_BOX), (landmarks[:, :2], EYE_BOX)):
        centre = points.mean(axis=1)
        sideways, up, down = np.multiply(half, unit)
        first, last = centre - np.array([sideways, up]), centre + np.array([sideways, down])
        box = np.concatenate([first, last], axis=1)
        boxes.append(np.clip(box, 0, 1).astype(np.float32))
    return boxes[0], boxes[1]
