import numpy as np
import pytest

from facespeak_jax import cli
from facespeak_jax.data import records, schema
from facespeak_jax.data.examples.face import FaceExamples
from facespeak_jax.data.heads import builder, faces
from facespeak_jax.data.heads.builder import Corpus, who
from facespeak_jax.data.heads.faces import CROSSED, FRAMES, Faces, make_face, mime

PHONEMES = ["<bos>", "B", "AA1", "B", " ", "M", "UW1", ".", "<eos>"]


@pytest.fixture
def said(monkeypatch, mesh, kokoro):
    monkeypatch.setattr(Corpus, "text", lambda corpus, person, index: f"Bob may buy {index}.")


def test_a_face_is_valid_and_silent_and_a_function_of_its_arguments(said):
    clip = Faces(3, 2, 32, 5).clip(1, 0)
    schema.validate(clip)
    assert (len(clip.frames), len(clip.crossed_frames)) == (FRAMES, CROSSED)
    assert not clip.audio.any()
    assert not clip.text
    assert not len(clip.durations)
    again = make_face(5, 1, 0, 32, "Bob may buy 0.")
    assert again.frames == clip.frames
    assert again.crossed_frames == clip.crossed_frames
    np.testing.assert_array_equal(again.units, clip.units)


def test_a_person_keeps_the_face_and_the_voice_in_another_scene(said):
    corpus = Faces(3, 2, 32, 5)
    first, second, stranger = corpus.clip(1, 0), corpus.clip(1, 1), corpus.clip(2, 0)
    assert first.speaker == second.speaker != stranger.speaker
    np.testing.assert_array_equal(first.voice, second.voice)
    assert not np.array_equal(first.voice, stranger.voice)
    assert first.frames != second.frames


def test_nobody_lives_in_heads_too(said):
    heads = {who(5, person)[0].attributes()["age"] for person in range(20)}
    others = {who(5, faces._ABROAD + person)[0].attributes()["age"] for person in range(20)}
    assert len(heads) == len(others) == 20
    assert not heads & others


def test_moments_differ_in_mouth_and_pose(said):
    clips = [make_face(5, person, 0, 16, "Bob, may I buy two of these?") for person in range(8)]
    jaw = np.concatenate([clip.units[:, builder.ARKIT.index("jawOpen")] for clip in clips])
    assert jaw.std() > 0.05
    assert np.mean([np.abs(np.diff(clip.pose[:, 0])).mean() for clip in clips]) > 1


@pytest.mark.parametrize("phonemes", [PHONEMES, ["<bos>", "AY1", "<eos>"], PHONEMES * 20])
def test_a_mimed_sentence_has_whole_frames_and_sound_where_sounds_are(phonemes):
    mimed = mime(np.random.default_rng(0), phonemes)
    assert mimed.durations.sum() % 4 == 0
    assert mimed.durations.sum() >= 4 * FRAMES
    assert len(mimed.wave) == 160 * mimed.durations.sum()
    ends = 160 * np.cumsum(mimed.durations)
    for symbol, end, length in zip(phonemes, ends, 160 * mimed.durations, strict=True):
        silent = symbol in ("<bos>", "<eos>", " ")
        assert bool(mimed.wave[end - length : end].any()) != silent


def test_the_command_makes_what_the_face_stage_reads(said, made_here, tmp_path, capsys):
    given = ["--people", "3", "--clips", "1", "--size", "24", "--out", str(tmp_path)]
    assert cli.main(["prepare", "faces", *given]) == 0
    assert "faces/1.0.0" in capsys.readouterr().out
    clips = records.open_split(tmp_path, "train")
    assert clips[0].speaker == "faces-0-00000"
    example = FaceExamples(24)(clips, np.random.default_rng(0), 0)
    assert example["voiced"] == 1
    assert example["has_units"].all()
