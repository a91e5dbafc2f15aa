import numpy as np
import pytest

from facespeak_jax import export, pipeline
from facespeak_jax.errors import WeightsIncomplete
from facespeak_jax.evaluation.systems import random_weights
from facespeak_jax.evaluation.systems.machine import Machine
from facespeak_jax.evaluation.systems.manner import Manner
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
    export.check_shapes(weights.params, random_weights.draw(tiny.CONFIG), "tiny")


def test_manners_change_what_they_say(machine):
    crop = portrait.align(astronaut(), size=tiny.SIZE).crop
    plain, face = machine.voice(crop, TEXT), machine.see(crop)
    assert plain.frames.shape == (0, tiny.SIZE, tiny.SIZE, 3)
    np.testing.assert_allclose(plain.audio, machine.speak(crop, TEXT).audio, atol=1e-5)
    assert set(plain.seconds) >= {"mel", "vocoder"}
    for manner in (Manner(mel_steps=1), Manner(mel_steps=0)):
        other = machine.in_manner(manner)
        assert not np.allclose(other.voice(crop, TEXT).audio, plain.audio, atol=1e-3)
    # Another voice code gives other durations or another mel.
    style = machine.in_manner(Manner(voice_of="style")).read(face, machine.text(TEXT))
    assert not np.allclose(style.code, machine.read(face, machine.text(TEXT)).code)


def test_motion_without_steps_is_the_mean_whatever_the_seed(machine):
    crop = portrait.align(astronaut(), size=tiny.SIZE).crop
    _, mean = machine.in_manner(Manner(motion_steps=0)).motions(crop, TEXT, (1, 2))
    np.testing.assert_array_equal(mean[0][0], mean[1][0])
    _, sampled = machine.motions(crop, TEXT, (1, 2))
    assert np.abs(sampled[0][0] - sampled[1][0]).max() > 1e-3
    np.testing.assert_array_equal(sampled[0][1], sampled[1][1])  # lips know no seed
    _, silent = machine.in_manner(Manner(lips_hear=(), head_hears=False)).motions(crop, TEXT, (1,))
    assert not np.allclose(silent[0][1], sampled[0][1])
    assert not np.allclose(silent[0][0], sampled[0][0])


def test_codes_of_frames_and_the_reducer_on_the_way(machine):
    frames = np.random.default_rng(0).integers(0, 256, (19, tiny.SIZE, tiny.SIZE, 3), np.uint8)
    found = machine.codes(frames)
    assert found.alpha_head.shape == (19, 6)
    one = machine.see(frames[7])
    np.testing.assert_allclose(found.identity[7], one.identity[0], atol=1e-5)
    reduced = machine.in_manner(Manner(reduced=True)).reconstruct(frames[0], frames)
    assert (reduced != machine.reconstruct(frames[0], frames)).any()
