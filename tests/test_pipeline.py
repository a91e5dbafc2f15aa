import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from facespeak_jax import errors, export, pipeline, video
from tests import tiny
from tests.faces import astronaut, moving, tone

TEXT = "It was not my idea."


@pytest.fixture(scope="module")
def speaker(tmp_path_factory):
    return pipeline.FaceSpeaker(export.load(tiny.write(tmp_path_factory.mktemp("weights"))))


@pytest.fixture(scope="module")
def spoken(speaker):
    return speaker.speak(astronaut(), TEXT, seed=3)


@pytest.fixture(scope="module")
def driving(tmp_path_factory):
    shifts = 6 * np.stack([np.sin(np.arange(30) / 4), np.zeros(30)], axis=1)
    path = tmp_path_factory.mktemp("driving") / "driving.mov"
    return video.save(path, moving(30, shifts), tone(30))


def test_frames_and_samples_end_together(spoken):
    frames = len(spoken.video)
    assert frames > 0
    assert spoken.video.shape == (frames, tiny.SIZE, tiny.SIZE, 3)
    assert spoken.video.dtype == np.uint8
    assert spoken.audio.shape == (640 * frames,)
    assert np.abs(spoken.audio).max() <= 1
    assert (spoken.fps, spoken.sample_rate, spoken.seed) == (25, 16_000, 3)


def test_the_same_seed_gives_the_same_clip_and_compiles_nothing(speaker, spoken):
    compiled = []

    def listen(event, *_, **__):
        compiled.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    again = speaker.speak(astronaut(), TEXT, seed=3)
    assert not [event for event in compiled if "backend_compile" in event]
    np.testing.assert_array_equal(again.video, spoken.video)
    np.testing.assert_array_equal(again.audio, spoken.audio)


def test_without_a_seed_picture_and_text_give_one(speaker):
    clip = speaker.speak(astronaut(), TEXT)
    again = speaker.speak(astronaut(), TEXT, seed=clip.seed)
    np.testing.assert_array_equal(again.video, clip.video)
    np.testing.assert_array_equal(again.audio, clip.audio)
    mirrored = astronaut()[:, ::-1]
    seeds = {
        speaker.speak(who, said).seed for who, said in [(mirrored, TEXT), (astronaut(), "No.")]
    }
    assert len(seeds | {clip.seed}) == 3


def test_motion_and_voice_have_seeds_of_their_own(speaker, spoken):
    moved = speaker.speak(astronaut(), TEXT, seed=3, motion_seed=4)
    np.testing.assert_array_equal(moved.audio, spoken.audio)
    assert (moved.video != spoken.video).any()
    voiced = speaker.speak(astronaut(), TEXT, seed=3, voice_seed=4)
    assert (voiced.audio != spoken.audio).any()


def test_bad_texts(speaker):
    with pytest.raises(errors.EmptyText):
        speaker.speak(astronaut(), "  ")
    with pytest.raises(errors.NothingToPronounce):
        speaker.speak(astronaut(), "¿¡")
    with pytest.raises(errors.TextTooLong, match="in parts"):
        speaker.speak(astronaut(), "A very long story. " * 60)


def test_reenacting_follows_the_driving_video(speaker, driving):
    done = []
    clip = speaker.reenact(astronaut(), driving, progress=lambda *counts: done.append(counts))
    assert clip.video.shape == (30, tiny.SIZE, tiny.SIZE, 3)
    assert done == [(16, 30), (30, 30)]
    np.testing.assert_allclose(clip.audio, tone(30), atol=1e-3)
    pasted = speaker.reenact(astronaut(), driving, paste_back=True)
    assert pasted.video.shape == (30, 512, 512, 3)
    np.testing.assert_array_equal(pasted.video[:, 300:], np.stack([astronaut()[300:]] * 30))


def test_frames_of_the_photographs_own_resolution(speaker, driving):
    coarse = speaker.reenact(astronaut(), driving)
    fine = speaker.reenact(astronaut(), driving, resolution="source")
    assert fine.video.shape == (30, 192, 192, 3)  # its square is 175 pixels wide there
    halved = fine.video.reshape(30, 64, 3, 64, 3, 3).mean((2, 4))
    assert np.abs(halved - coarse.video).mean() < 4
    pasted = speaker.reenact(astronaut(), driving, resolution="source", paste_back=True)
    assert pasted.video.shape == (30, 512, 512, 3)


def test_weights_without_speech_only_reenact(tmp_path, driving):
    face = pipeline.FaceSpeaker(export.load(tiny.write(tmp_path, tiny.FACE)))
    with pytest.raises(errors.WeightsIncomplete, match="text_encoder"):
        face.speak(astronaut(), TEXT)


def test_weights_of_an_earlier_version_say_so(tmp_path):
    """Their motion prior read the text itself, and not cues."""
    weights = export.load(tiny.write(tmp_path))
    del weights.params["motion_prior"]["response"]
    with pytest.raises(export.BadWeights, match="response"):
        pipeline.FaceSpeaker(weights).speak(astronaut(), TEXT)


SCRIPT = """
import sys
import facespeak_jax
from facespeak_jax import cli
speaker = facespeak_jax.load(sys.argv[1])
clip = speaker.reenact(sys.argv[2], sys.argv[3])
clip.save(sys.argv[4])
print([name for name in ("tensorflow", "torch", "clu", "grain", "librosa") if name in sys.modules])
"""


def test_sampling_is_free_of_training_packages_and_keeps_compiled_programs(tmp_path, driving):
    tiny.write(tmp_path / "weights", tiny.FACE)
    picture = tmp_path / "portrait.png"
    pipeline.Clip(astronaut()[None], tone(1)).save(tmp_path / "frames.png")
    (tmp_path / "frames" / "00000.png").rename(picture)
    output = tmp_path / "output.mp4"
    ran = subprocess.run(
        [sys.executable, "-c", SCRIPT, tmp_path / "weights", picture, driving, output],
        env={
            **os.environ,
            "FACESPEAK_CACHE": str(tmp_path / "cache"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",  # these programs are tiny
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[]"
    assert output.exists()
    assert any((tmp_path / "cache" / "compiled").iterdir())
