"""LibriSpeech as a corpus: recordings without pictures, which the vocoder learns from alone."""

import numpy as np
import pytest
import soundfile

from facespeak_jax import errors
from facespeak_jax.data import librispeech, manifest, records
from facespeak_jax.data.examples.face import FaceExamples
from facespeak_jax.data.examples.speech import SpeechExamples
from facespeak_jax.data.examples.sync import SyncExamples
from facespeak_jax.data.examples.vocoder import VocoderExamples
from facespeak_jax.data.schema import BadExample


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Four speakers; a file in a folder of its own, one too short, one that is no recording."""
    folder = tmp_path_factory.mktemp("LibriSpeech")
    rng = np.random.default_rng(0)
    (folder / "19" / "198").mkdir(parents=True)
    for name in ("19/198/19-198-0000", "26-495-0000", "26-495-0001", "27-1-0000", "32-1-0000"):
        wave = 0.1 * rng.standard_normal(16000 + 100)
        soundfile.write(folder / f"{name}.flac", wave, 16000)
    soundfile.write(folder / "26-495-0002.flac", np.zeros(100), 16000)
    (folder / "27-1-0001.flac").write_text("no sound")
    (folder / "readme.wav").write_text("nothing to hear")
    return folder


@pytest.fixture(scope="module")
def corpus(source, tmp_path_factory):
    out = tmp_path_factory.mktemp("corpus")
    entries = [e._replace(split="train") for e in librispeech.entries(source)]
    report = manifest.build(entries, out, name="librispeech", make=librispeech.hear, workers=1)
    assert (report.kept, report.rejected) == (5, 2)
    return records.open_split(out, "train")


def test_speakers_come_from_the_names_and_splits_are_theirs(source):
    entries = librispeech.entries(source)
    assert {e.clip_id: e.speaker for e in entries}["19-198-0000"] == "19"
    assert len(entries) == 7
    splits = {split: {e.speaker for e in entries if e.split == split} for split in records.SPLITS}
    assert sorted(map(len, splits.values())) == [1, 1, 2]
    assert len(set.union(*splits.values())) == 4


def test_a_directory_without_recordings_is_refused(tmp_path):
    (tmp_path / "song.flac").touch()
    with pytest.raises(errors.BadManifest, match="103-1240-0000"):
        librispeech.entries(tmp_path)


def test_a_recording_is_whole_video_frames_of_its_own_samples(source, corpus):
    clip = corpus[corpus.clip_ids.index("26-495-0000")]
    recorded, _ = soundfile.read(source / "26-495-0000.flac", dtype="int16")
    assert len(clip.audio) == 25 * 640
    np.testing.assert_allclose(clip.audio, recorded[: len(clip.audio)], atol=1)
    assert clip.frames == []
    assert corpus.lengths.tolist() == [0] * 5


def test_the_vocoder_hears_it_and_what_needs_pictures_says_so(corpus):
    example = VocoderExamples(32)(corpus, np.random.default_rng(0), 0)
    assert example["wave"].std() > 0.02
    for maker, reason in (
        (FaceExamples(32), "has"),
        (SyncExamples(32), "0 frames"),
        (SpeechExamples(32, tokens=8, mels=100, crop=48), "no pictures"),
    ):
        with pytest.raises(BadExample, match=reason):
            maker(corpus, np.random.default_rng(0), 0)
