import pathlib
import subprocess
import sys

import numpy as np
import pytest

from facespeak_jax.data import records, schema
from tests import synthetic


def test_reads_back_what_was_written(corpus):
    clips = records.open_split(corpus, "train")
    assert len(clips) == 8
    assert clips.speakers == ("s0", "s1", "s2", "s3")
    assert clips.lengths.tolist() == [48] * 8
    for position in clips.by_speaker("s2"):
        clip = clips[position]
        assert clip.speaker == "s2" == clips.speaker_of[position]
        original = synthetic.clip(2, int(clip.clip_id[-1]))
        assert clip.frames == original.frames
        np.testing.assert_array_equal(clip.audio, original.audio)
        np.testing.assert_array_equal(clip.landmarks, original.landmarks)


def test_positions_of_speakers_partition_the_split(corpus):
    clips = records.open_split(corpus, "train")
    positions = np.concatenate([clips.by_speaker(s) for s in clips.speakers])
    assert sorted(positions) == list(range(len(clips)))


def test_the_same_clips_give_the_same_bytes(tmp_path):
    def files(root: pathlib.Path) -> dict[str, bytes]:
        return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*array_record*")}

    for out in ("a", "b"):
        synthetic.write(str(tmp_path / out), takes=1, frames=4, speakers=5)
    assert files(tmp_path / "a") == files(tmp_path / "b") != {}


def test_the_index_is_cached_and_can_be_rebuilt(tmp_path):
    root = records.find(synthetic.write(str(tmp_path), takes=2, frames=4, speakers=4))
    index = root / "index-train.json"
    written = index.read_text()
    index.unlink()
    clips = records.open_split(root, "train")
    assert clips.clip_ids == [clips[i].clip_id for i in range(len(clips))]
    assert index.read_text() == written


def test_refuses_what_it_cannot_open(corpus, tmp_path):
    with pytest.raises(records.NoSuchData, match="dataset_info"):
        records.open_split(tmp_path, "train")
    with pytest.raises(records.NoSuchData, match="no split 'dev'"):
        records.open_split(corpus, "dev")


def test_refuses_to_write_over_clips_or_to_share_speakers(tmp_path):
    one = [synthetic.clip(0, 0, frames=4)]
    records.write(str(tmp_path), {"train": one}, name="clips")
    with pytest.raises(records.DataExists):
        records.write(str(tmp_path), {"train": one}, name="clips")
    two = [synthetic.clip(0, 1, frames=4)]
    with pytest.raises(records.SharedSpeakers, match="'s0'"):
        records.write(str(tmp_path / "other"), {"train": one, "test": two}, name="clips")


def test_a_record_that_is_no_clip_is_a_bad_example():
    entries = {"clip_id": ["a"], "speaker": ["s"], "frames": [1]}
    with pytest.raises(schema.BadExample, match="record 0 of broken"):
        records.Clips([{"clip_id": b"a"}], entries, "broken")[0]


def test_reading_needs_no_tensorflow(corpus):
    code = (
        "import sys; from facespeak_jax.data import records;"
        f"records.open_split({corpus!r}, 'train')[0]; assert 'tensorflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
