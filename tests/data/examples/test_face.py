"""Examples of the face stage: which frames, which ground truth, and the mirror."""

import dataclasses

import numpy as np
import pytest

from facespeak_jax.data import records
from facespeak_jax.data.examples.face import LIP_UNITS, ROLES, FaceExamples, mirrored
from facespeak_jax.data.heads.units import ARKIT, UNIT
from facespeak_jax.data.schema import BadExample, decode_image, encode_image

PLAIN = FaceExamples(64, strength=0.0)


@pytest.fixture(scope="module")
def clips(corpus):
    return records.open_split(corpus, "train")


def draw(clips, maker, seeds, position=0):
    return [maker(clips, np.random.default_rng(seed), position) for seed in seeds]


def frame_of(image, encoded):
    """The index of the encoded image that this is, or None."""
    matches = [k for k, data in enumerate(encoded) if np.array_equal(decode_image(data), image)]
    return matches[0] if matches else None


def test_shapes_and_types_never_change(clips):
    for example in draw(clips, FaceExamples(32), range(6)):
        for role in ROLES:
            assert example[role].shape == (32, 32, 3)
            assert example[role].dtype == np.uint8
        expected = {"pose": (5, 3), "posed": (5,), "units": (5, 52), "has_units": (5,)}
        expected |= {"voice": (16,), "voiced": ()}
        expected |= {"mouth_box": (4,), "eye_box": (4,), "is_crossed": ()}
        for name, shape in expected.items():
            assert example[name].shape == shape
            assert example[name].dtype == np.float32


def test_uncrossed_targets_drive_themselves(clips):
    clip = clips[0]
    for example in draw(clips, dataclasses.replace(PLAIN, crossed=0.0), range(4)):
        source, target = (frame_of(example[role], clip.frames) for role in ("source", "target"))
        assert source is not None
        assert target is not None
        assert source != target
        np.testing.assert_array_equal(example["head"], example["target"])
        np.testing.assert_array_equal(example["lips"], example["target"])
        for known in ("pose", "units"):
            np.testing.assert_array_equal(example[known][0], getattr(clip, known)[source])
            for driving in (1, 2, 3):
                np.testing.assert_array_equal(example[known][driving], getattr(clip, known)[target])
        np.testing.assert_array_equal(example["mouth_box"], clip.mouth_box[target])


def test_crossed_targets_take_head_and_lips_of_two_frames(clips):
    clip = clips[0]
    for example in draw(clips, dataclasses.replace(PLAIN, crossed=1.0), range(4)):
        k = frame_of(example["target"], clip.crossed_frames)
        assert k is not None
        assert example["is_crossed"] == 1
        head, lips = clip.crossed_head[k], clip.crossed_lips[k]
        np.testing.assert_array_equal(example["head"], decode_image(clip.frames[head]))
        np.testing.assert_array_equal(example["lips"], decode_image(clip.frames[lips]))
        _, target, of_head, of_lips, _ = example["units"]
        np.testing.assert_array_equal(target[LIP_UNITS], clip.units[lips][LIP_UNITS])
        np.testing.assert_array_equal(target[~LIP_UNITS], clip.units[head][~LIP_UNITS])
        np.testing.assert_array_equal(of_head, clip.units[head])
        np.testing.assert_array_equal(of_lips, clip.units[lips])
        np.testing.assert_array_equal(example["pose"][1:4], clip.pose[[head, head, lips]])


def test_identity_is_another_clip_of_the_person(clips):
    others = [p for p in clips.by_speaker(clips.speaker_of[0]) if p != 0]
    pool = [data for p in others for data in clips[int(p)].frames]
    for example in draw(clips, PLAIN, range(4)):
        assert frame_of(example["identity"], pool) is not None


class Alone(records.Clips):
    """A person with one clip, of which nothing is known."""

    def __init__(self, clip):
        self.clip = clip

    def __getitem__(self, position):
        return self.clip

    def by_speaker(self, speaker):
        return np.array([0])


def test_clip_without_ground_truth_or_company(clips):
    empty = {
        name: np.zeros((0, *getattr(clips[0], name).shape[1:]), np.float32)
        for name in ("pose", "units", "voice")
    }
    clip = dataclasses.replace(clips[0], crossed_frames=[], **empty)
    example = PLAIN(Alone(clip), np.random.default_rng(0), 0)
    assert not example["posed"].any()
    assert not example["has_units"].any()
    assert example["voiced"] == 0
    assert example["is_crossed"] == 0
    assert frame_of(example["identity"], clip.frames) is not None
    with pytest.raises(BadExample, match="one frame"):
        PLAIN(Alone(dataclasses.replace(clip, frames=clip.frames[:1])), np.random.default_rng(0), 0)


def test_one_colour_change_for_source_and_target(clips):
    """A frame used as source and as identity in turn shows the same colours in one example."""
    clip = clips[0]
    still = dataclasses.replace(clip, frames=[clip.frames[0]] * 4, crossed_frames=[])
    seen = set()
    for seed in range(6):
        example = FaceExamples(64)(Alone(still), np.random.default_rng(seed), 0)
        np.testing.assert_array_equal(example["source"], example["target"])
        seen.add(np.array_equal(example["head"], example["target"]))
    assert seen == {False}


def test_mirror_twice_is_nothing(clips):
    example = draw(clips, PLAIN, [0])[0]
    once, twice = mirrored(example), mirrored(mirrored(example))
    for name, value in example.items():
        np.testing.assert_allclose(twice[name], value, atol=1e-6)
    np.testing.assert_array_equal(once["source"], example["source"][:, ::-1])
    np.testing.assert_allclose(once["pose"], example["pose"] * [[-1, 1, -1]])
    x0, _, x1, _ = once["mouth_box"]
    np.testing.assert_allclose([x0, x1], 1 - example["mouth_box"][[2, 0]])


def test_landmarks_of_source_and_target_and_their_mirror(clips):
    clip = clips[0]
    example = draw(clips, dataclasses.replace(PLAIN, crossed=0.0), [0])[0]
    source, target = (frame_of(example[role], clip.frames) for role in ("source", "target"))
    np.testing.assert_array_equal(example["source_landmarks"], clip.landmarks[source])
    np.testing.assert_array_equal(example["target_landmarks"], clip.landmarks[target])
    assert example["has_landmarks"].all()
    left, right = mirrored(example)["source_landmarks"][:2]
    np.testing.assert_allclose(left, np.array([1, 0]) + [-1, 1] * clip.landmarks[source][1])
    assert left[0] < right[0]
    crossed = draw(clips, dataclasses.replace(PLAIN, crossed=1.0), [0])[0]
    np.testing.assert_array_equal(crossed["has_landmarks"], [1, 1, 1, 0, 0])


def test_mirror_swaps_left_and_right_units(clips):
    example = draw(clips, PLAIN, [0])[0] | {
        "units": np.tile(np.arange(52, dtype=np.float32), (5, 1))
    }
    swapped = mirrored(example)["units"][3]
    assert swapped[UNIT["mouthSmileLeft"]] == UNIT["mouthSmileRight"]
    assert swapped[UNIT["jawRight"]] == UNIT["jawLeft"]
    assert swapped[UNIT["jawOpen"]] == UNIT["jawOpen"]


def test_lip_units_are_the_mouths():
    names = {name for name, is_lip in zip(ARKIT, LIP_UNITS, strict=True) if is_lip}
    assert {"jawOpen", "mouthPucker", "tongueOut"} <= names
    assert not {"eyeBlinkLeft", "browInnerUp", "noseSneerLeft"} & names


def test_boxes_and_landmarks_follow_the_pixels_of_a_reframed_example(clips):
    """A white dot at the nose of every frame stays at its landmark and in its box."""
    clip = clips[0]
    nose = np.array([0.45, 0.6], np.float32)
    image = np.zeros((64, 64, 3), np.uint8)
    row, column = (nose[::-1] * 64).astype(int)
    image[row - 1 : row + 2, column - 1 : column + 2] = 255
    frames = [encode_image(image)] * 4
    box = np.tile(np.concatenate([nose - 0.1, nose + 0.1]), (4, 1)).astype(np.float32)
    landmarks = np.tile(nose, (4, 5, 1))
    dotted = dataclasses.replace(
        clip, frames=frames, crossed_frames=[], mouth_box=box, landmarks=landmarks
    )
    sides = set()
    for seed in range(8):
        example = FaceExamples(128)(Alone(dotted), np.random.default_rng(seed), 0)
        light = np.asarray(example["target"], np.float64).sum(-1)
        light = np.maximum(light - np.median(light) - 60, 0)
        rows, columns = np.indices(light.shape) + 0.5
        middle = np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum() / 128
        for point in np.asarray(example["target_landmarks"]):
            np.testing.assert_allclose(point, middle, atol=0.012)
        x0, y0, x1, y1 = np.asarray(example["mouth_box"])
        np.testing.assert_allclose([(x0 + x1) / 2, (y0 + y1) / 2], middle, atol=0.012)
        sides.add(round(float(x1 - x0), 3))
    assert max(sides) > 0.205
    assert min(sides) < 0.195
