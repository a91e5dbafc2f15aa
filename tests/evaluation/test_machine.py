import numpy as np
import pytest

from facespeak_jax import export, pipeline
from facespeak_jax.errors import WeightsIncomplete
from facespeak_jax.evaluation import random_weights
from facespeak_jax.evaluation.machine import Machine
from facespeak_jax.face import portrait
from tests import tiny
from tests.faces import astronaut

TEXT = "It was not my idea."


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return export.load(tiny.write(tmp_path_factory.mktemp("weights")))


@pytest.fixture(scope="module")
def machine(weights):
    return Machine(weights)


def test_speaks_as_the_pipeline_does(weights, machine):
    crop = portrait.align(astronaut(), size=tiny.SIZE).crop
    ours = machine.speak(crop, TEXT, seed=3)
    theirs = pipeline.FaceSpeaker(weights).speak(astronaut(), TEXT, seed=3)
    assert ours.frames.shape == theirs.video.shape
    assert np.abs(ours.frames.astype(int) - theirs.video).max() <= 1
    np.testing.assert_allclose(ours.audio, theirs.audio, atol=1e-4)
    assert ours.durations.sum() == 4 * len(ours.frames)
    assert len(ours.durations) == len(ours.phonemes)
    assert set(ours.seconds) == {
        *("see", "text", "durations", "mel", "vocoder", "lips", "motion", "render")
    }


def test_the_motion_seed_leaves_the_wave(machine):
    crop = portrait.align(astronaut(), size=tiny.SIZE).crop
    one, other = (machine.speak(crop, TEXT, motion_seed=seed) for seed in (1, 2))
    np.testing.assert_array_equal(one.audio, other.audio)
    assert (one.frames != other.frames).any()


def test_reconstruction_and_revocoding_keep_lengths(machine):
    frames = np.random.default_rng(0).integers(0, 256, (19, tiny.SIZE, tiny.SIZE, 3), np.uint8)
    rebuilt = machine.reconstruct(frames[0], frames)
    assert rebuilt.shape == frames.shape
    # Each frame depends on its own driving frame alone.
    np.testing.assert_array_equal(machine.reconstruct(frames[0], frames[:3]), rebuilt[:3])
    assert machine.revocode(np.zeros(19 * 640, np.float32)).shape == (19 * 640,)


def test_missing_parts_are_named(tmp_path):
    face = Machine(export.load(tiny.write(tmp_path, tiny.FACE)))
    with pytest.raises(WeightsIncomplete, match="vocoder"):
        face.revocode(np.zeros(6400, np.float32))


def test_random_weights_have_the_shapes_of_trained_ones(weights):
    export.check_shapes(
        {part: value for part, value in weights.params.items() if part != "voice_code"},
        {
            part: value
            for part, value in random_weights.draw(tiny.CONFIG).items()
            if part != "voice_code"  # whose auxiliary head the tiny weights lack
        },
        "tiny",
    )
