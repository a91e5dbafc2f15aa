"""Examples of the face stage: a source, a target, the frames that drive it, an identity frame."""

import dataclasses
import zlib
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from facespeak_jax.data.examples.disguise import colour_change, disguised, recoloured
from facespeak_jax.data.heads.units import ARKIT
from facespeak_jax.data.pipeline import Example
from facespeak_jax.data.records import Clips
from facespeak_jax.data.schema import VOICE, BadExample, Clip, decode_image
from facespeak_jax.face.portrait import Square, cut

# Face units that the lip motion answers for; the head motion answers for the others.
LIP_UNITS = np.array([name.startswith(("jaw", "mouth", "tongue")) for name in ARKIT])

_SIDES = {"Left": "Right", "Right": "Left"}
_MIRRORED_UNITS = np.array(
    [
        ARKIT.index(name.removesuffix(side) + _SIDES[side] if side else name)
        for name in ARKIT
        for side in [next((side for side in _SIDES if name.endswith(side)), "")]
    ]
)

_MIRRORED_LANDMARKS = [1, 0, 2, 4, 3]  # eyes, nose, corners of the mouth

ROLES = ("source", "target", "head", "lips", "identity")


@dataclasses.dataclass(frozen=True)
class FaceExamples:
    """Makes one example of five images of one person.

    `source` and `target` are frames of one clip. `head` gives the pose and `lips` the mouth of the
    target: two other frames of the clip when the target is a crossed one, else the target itself
    under other light, so that motion cannot be read off colours. `identity` comes from another clip
    of the person where there is one.
    """

    size: int
    crossed: float = 0.5  # share of crossed targets where the clip has any
    strength: float = 1.0  # of every augmentation; 0 switches them off
    zoom: float = 0.1  # by so much a frame is drawn larger or smaller: as detectors disagree
    shift: float = 0.03  # of the frame's side

    def __call__(self, clips: Clips, rng: np.random.Generator, position: int) -> Example:
        """uint8 images (size, size, 3) by role, and what is known of them:

        `mouth_box`, `eye_box` (4,) of the target; `source_landmarks`, `target_landmarks` (5, 2) and
        `has_landmarks` (5,), 0 where they are not known; by role, `pose` (5, 3) degrees and `units`
        (5, 52), `posed` (5,) and `has_units` (5,) where they are known; `voice` (16,), the
        coordinates of the voice that goes with the face, and `voiced` (); `is_crossed` ();
        `speaker` () int32, a hash. Raises BadExample for a clip of one frame.
        """
        clip = clips[position]
        if len(clip.frames) < 2:
            raise BadExample(f"clip {clip.clip_id!r} has one frame; source and target need two")
        other, moment = _identity_frame(clips, clip, rng, position)
        chosen = self._choose(clip, rng)
        encoded = {**chosen.images, "identity": other.frames[moment]}
        square = self._square(rng)
        squares = {**dict.fromkeys(chosen.images, square), "identity": self._square(rng)}
        images = {
            role: self._cut(decode_image(data), squares[role]) for role, data in encoded.items()
        }
        # Whose head and whose mouth each role shows.
        shown = {
            "source": (clip, chosen.source, chosen.source),
            "target": (clip, chosen.head, chosen.lips),
            "head": (clip, chosen.head, chosen.head),
            "lips": (clip, chosen.lips, chosen.lips),
            "identity": (other, moment, moment),
        }
        images = self._recoloured(images, rng)
        images["identity"] = disguised(images["identity"], rng, self.strength)
        example: Example = {
            **images,
            "mouth_box": _in_square(clip.mouth_box[chosen.head].reshape(2, 2), square).reshape(4),
            "eye_box": _in_square(clip.eye_box[chosen.head].reshape(2, 2), square).reshape(4),
            **_landmarks(clip, chosen, square),
            "pose": np.stack([_pose(of, head) for of, head, _ in shown.values()]),
            "posed": np.array([len(of.pose) > 0 for of, *_ in shown.values()], np.float32),
            "units": np.stack([_units(*frames) for frames in shown.values()]),
            "has_units": np.array([len(of.units) > 0 for of, *_ in shown.values()], np.float32),
            "voice": clip.voice if len(clip.voice) else np.zeros(VOICE, np.float32),
            "voiced": np.float32(len(clip.voice) > 0),
            "is_crossed": np.float32(chosen.crossed),
            "speaker": np.int32(zlib.crc32(clip.speaker.encode()) & 0x7FFFFFFF),
        }
        return mirrored(example) if self.strength and rng.random() < 0.5 else example

    def _choose(self, clip: Clip, rng: np.random.Generator) -> "_Chosen":
        source = int(rng.integers(len(clip.frames)))
        if len(clip.crossed_frames) and rng.random() < self.crossed:
            k = int(rng.integers(len(clip.crossed_frames)))
            head, lips = int(clip.crossed_head[k]), int(clip.crossed_lips[k])
            target = clip.crossed_frames[k]
        else:
            k = -1
            head = lips = int((source + rng.integers(1, len(clip.frames))) % len(clip.frames))
            target = clip.frames[head]
        images = {
            "source": clip.frames[source],
            "target": target,
            "head": clip.frames[head],
            "lips": clip.frames[lips],
        }
        return _Chosen(images, source, head, lips, k >= 0)

    def _square(self, rng: np.random.Generator) -> Square:
        """What is shown of a frame, in its sides."""
        side = 1 + self.zoom * self.strength * rng.uniform(-1, 1)
        x, y = 0.5 + self.shift * self.strength * rng.uniform(-1, 1, size=2)
        return Square(float(x), float(y), float(side))

    def _cut(self, image: UInt8[np.ndarray, "h w 3"], square: Square) -> UInt8[np.ndarray, "s s 3"]:
        side = image.shape[0]
        if side == self.size and square == Square(0.5, 0.5, 1.0):
            return image
        return cut(image, Square(*(side * value for value in square)), self.size)

    def _recoloured(
        self, images: dict[str, np.ndarray], rng: np.random.Generator
    ) -> dict[str, np.ndarray]:
        """One change of colour for all; a second, of their own, for the two that only drive."""
        common = colour_change(rng, self.strength)
        own = {"head": colour_change(rng, self.strength), "lips": colour_change(rng, self.strength)}
        return {
            role: recoloured(image, common, *([own[role]] if role in own else []))
            for role, image in images.items()
        }


@dataclasses.dataclass(frozen=True)
class _Chosen:
    images: dict[str, bytes]
    source: int  # frame numbers
    head: int
    lips: int
    crossed: bool


def _identity_frame(
    clips: Clips, clip: Clip, rng: np.random.Generator, position: int
) -> tuple[Clip, int]:
    others = clips.by_speaker(clip.speaker)
    others = others[others != position]
    other = clips[int(rng.choice(others))] if len(others) else clip
    return other, int(rng.integers(len(other.frames)))


def _in_square(points: Float32[np.ndarray, "n 2"], square: Square) -> Float32[np.ndarray, "n 2"]:
    return ((points - np.array(square.corner)) / square.side).astype(np.float32)


def _landmarks(clip: Clip, chosen: _Chosen, square: Square) -> Example:
    known = np.full(5, len(clip.landmarks) > 0, np.float32)
    if chosen.crossed:
        known[3:] = 0  # the mouth's corners are another frame's
    points: Example = {
        f"{role}_landmarks": _in_square(clip.landmarks[frame], square)
        if known.any()
        else np.zeros((5, 2), np.float32)
        for role, frame in (("source", chosen.source), ("target", chosen.head))
    }
    points["has_landmarks"] = known
    return points


def _pose(clip: Clip, frame: int) -> Float32[np.ndarray, " 3"]:
    return clip.pose[frame] if len(clip.pose) else np.zeros(3, np.float32)


def _units(clip: Clip, head: int, lips: int) -> Float32[np.ndarray, " u"]:
    if not len(clip.units):
        return np.zeros(len(ARKIT), np.float32)
    return np.where(LIP_UNITS, clip.units[lips], clip.units[head])


def mirrored(example: Example) -> Example:
    """The example in a mirror: yaw and roll turn; boxes, landmarks and units swap sides."""
    changed = dict(example)
    for role in ROLES:
        changed[role] = np.ascontiguousarray(np.flip(example[role], axis=1))
    for name in ("mouth_box", "eye_box"):
        x0, y0, x1, y1 = np.asarray(example[name])
        changed[name] = np.array([1 - x1, y0, 1 - x0, y1], np.float32)
    for name in ("source_landmarks", "target_landmarks"):
        points: Any = np.asarray(example[name])[_MIRRORED_LANDMARKS]
        changed[name] = np.stack([1 - points[:, 0], points[:, 1]], axis=1)
    changed["has_landmarks"] = np.asarray(example["has_landmarks"])[_MIRRORED_LANDMARKS]
    changed["units"] = np.asarray(example["units"])[:, _MIRRORED_UNITS]
    pose: Any = np.asarray(example["pose"])
    changed["pose"] = pose * np.array([-1, 1, -1], np.float32)[None, :]
    return changed
