import dataclasses

import numpy as np
import pytest

from facespeak_jax.data import schema
from tests import synthetic


@pytest.fixture(scope="module")
def clip() -> schema.Clip:
    return synthetic.clip(1, 0, frames=8)


def test_record_round_trip_through_bytes(clip):
    encoded = schema.FEATURES.serialize_example(schema.to_record(clip))
    back = schema.from_record(schema.FEATURES.deserialize_example_np(encoded))
    for field in dataclasses.fields(clip):
        ours, theirs = getattr(clip, field.name), getattr(back, field.name)
        if isinstance(ours, np.ndarray):
            assert theirs.dtype == ours.dtype
            np.testing.assert_array_equal(theirs, ours)
        else:
            assert theirs == ours


def test_unknown_ground_truth_stays_empty():
    bare = schema.Clip("c", "s", "t", [b"x"], np.zeros(640, np.int16))
    boxes = {"mouth_box": np.zeros((1, 4), np.float32), "eye_box": np.zeros((1, 4), np.float32)}
    bare = dataclasses.replace(bare, landmarks=np.zeros((1, 5, 2), np.float32), **boxes)
    encoded = schema.FEATURES.serialize_example(schema.to_record(bare))
    back = schema.from_record(schema.FEATURES.deserialize_example_np(encoded))
    assert back.units.shape == (0, 52)
    assert back.durations.shape == (0,)
    assert back.crossed_frames == []
    assert back.symbols == []


def test_a_recording_that_nobody_filmed_has_no_frames():
    heard = schema.Clip("c", "s", "", [], np.arange(1280, dtype=np.int16))
    encoded = schema.FEATURES.serialize_example(schema.to_record(heard))
    back = schema.from_record(schema.FEATURES.deserialize_example_np(encoded))
    assert back.frames == []
    np.testing.assert_array_equal(back.audio, heard.audio)
    cut = dataclasses.replace(heard, audio=heard.audio[:-1])
    with pytest.raises(schema.InvalidClip, match="1 frames need 640 audio samples"):
        schema.validate(cut)


def test_symbols_restore_the_word_boundary(clip):
    assert clip.symbols[5] == " "
    assert len(clip.symbols) == len(clip.durations)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": []}, "one row a frame \\(0\\), got 8"),
        ({"frames": [], "audio": np.zeros(0, np.int16)}, "neither frames nor sound"),
        ({"audio": np.zeros(640 * 8 - 1, np.int16)}, "5120 audio samples"),
        ({"audio": np.zeros(640 * 8, np.float32)}, "audio must be int16"),
        ({"mouth_box": np.zeros((0, 4), np.float32)}, "mouth_box must have one row a frame"),
        ({"pose": np.zeros((7, 3), np.float32)}, "pose must have one row a frame"),
        ({"pose": np.zeros((8, 2), np.float32)}, "pose must be float32"),
        ({"pose": np.full((8, 3), np.nan, np.float32)}, "non-finite"),
        ({"durations": np.full(12, 3, np.int32)}, "sum to 32 mel frames, got 36"),
        ({"durations": np.array([32], np.int32)}, "12 phonemes, 1 durations"),
        ({"durations": np.array([33, -1] + [0] * 10, np.int32)}, "negative"),
        ({"voice": np.zeros(3, np.float32)}, "16 coordinates"),
        ({"crossed_lips": np.array([0, 8], np.int32)}, "point at frames"),
        ({"crossed_head": np.array([0], np.int32)}, "one entry a crossed frame"),
        ({"speaker": ""}, "must not be empty"),
    ],
)
def test_a_broken_clip_is_refused_with_the_reason(clip, change, message):
    with pytest.raises(schema.InvalidClip, match=message):
        schema.validate(dataclasses.replace(clip, **change))


def test_images_survive_encoding_nearly_unchanged():
    ramp = np.linspace(0, 255, 32)
    image = np.stack([*np.meshgrid(ramp, ramp), np.full((32, 32), 90)], -1).astype(np.uint8)
    back = schema.decode_image(schema.encode_image(image))
    assert back.dtype == np.uint8
    assert np.abs(back.astype(int) - image).max() <= 6


@pytest.mark.parametrize(
    "encoded", [b"", b"not an image", schema.encode_image(np.zeros((8, 8, 3), np.uint8))[:40]]
)
def test_an_undecodable_image_is_a_bad_example(encoded):
    with pytest.raises(schema.BadExample, match="cannot be decoded"):
        schema.decode_image(encoded)
