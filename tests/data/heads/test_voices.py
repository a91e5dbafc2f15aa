import numpy as np
import pytest

from facespeak_jax import cli
from facespeak_jax.data import records, schema
from facespeak_jax.data.examples.speech import SpeechExamples
from facespeak_jax.data.heads import builder, faces, voices
from facespeak_jax.data.heads.builder import Corpus, who
from facespeak_jax.data.heads.voice import Speech
from facespeak_jax.data.heads.voices import Voices, make_voice

SPAN = 8  # mel frames of every phoneme


@pytest.fixture
def said(monkeypatch, mesh, kokoro):
    """A hum takes the place of the neural voice."""

    class Hum:
        def synthesize(self, phonemes, style, speed):
            durations = np.full(len(phonemes), SPAN, np.int32)
            wave = np.sin(0.1 * np.arange(160 * durations.sum()))
            return Speech(wave.astype(np.float32), durations)

    monkeypatch.setattr(builder, "_neural_voice", Hum)
    monkeypatch.setattr(Corpus, "text", lambda corpus, person, index: f"Bob may buy {index}.")


def test_a_still_person_is_heard(said):
    clip = Voices(3, 2, 32, 5).clip(1, 0)
    schema.validate(clip)
    assert clip.text == "Bob may buy 0."
    assert len(clip.durations) == len(clip.symbols)
    assert 4 * len(clip.frames) == clip.durations.sum()
    assert len(set(clip.frames)) == 1
    assert not len(clip.units)
    assert not len(clip.pose)
    again = make_voice(5, 1, 0, 32, "Bob may buy 0.")
    assert again.frames == clip.frames
    np.testing.assert_array_equal(again.audio, clip.audio)


def test_a_person_keeps_face_and_voice_and_lives_nowhere_else(said):
    corpus = Voices(3, 2, 32, 5)
    first, second, stranger = corpus.clip(1, 0), corpus.clip(1, 1), corpus.clip(2, 0)
    np.testing.assert_array_equal(first.voice, second.voice)
    assert not np.array_equal(first.voice, stranger.voice)
    ages = [
        {who(5, start + person)[0].age for person in range(20)}
        for start in (0, faces._ABROAD, voices._ABROAD)
    ]
    assert len(set.union(*ages)) == 60


def test_the_command_makes_what_the_speech_stage_reads(said, made_here, tmp_path, capsys):
    given = ["--people", "3", "--clips", "1", "--size", "24", "--out", str(tmp_path)]
    assert cli.main(["prepare", "voices", *given]) == 0
    assert "voices/1.0.0" in capsys.readouterr().out
    clips = records.open_split(tmp_path, "train")
    example = SpeechExamples(24, 64, 400, 48)(clips, np.random.default_rng(0), 0)
    assert example["voiced"]
    assert example["timed"]
    assert example["mel_length"] == 4 * len(clips[0].frames)
