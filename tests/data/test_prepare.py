import json

import numpy as np
import pytest

from facespeak_jax import errors, video
from facespeak_jax.data import grid, manifest, prepare, records, schema
from tests.faces import moving, tone

FRAMES = 40
STILL = np.zeros((FRAMES, 2))
CIRCLE = 8 * np.stack([np.cos(np.arange(FRAMES) / 4), np.sin(np.arange(FRAMES) / 4)], axis=1)


def write(path, frames, audio=None):
    return video.save(path, frames, tone(len(frames)) if audio is None else audio)


def made(path, size=64):
    return prepare.prepare(path, text="A text.", speaker="she", clip_id="one", size=size)


def test_the_head_moves_in_a_still_square(tmp_path):
    path = write(tmp_path / "clip.mp4", moving(FRAMES, CIRCLE))
    clip = made(path)
    schema.validate(clip)
    assert len(clip.frames) == FRAMES
    assert len(clip.audio) == FRAMES * 640
    assert (clip.clip_id, clip.speaker, clip.text) == ("one", "she", "A text.")
    assert schema.decode_image(clip.frames[0]).shape == (64, 64, 3)
    # The head, 163 px of 512 in the photograph and shown at 160/260, moves as it was moved.
    side = 163 * 160 / 260
    for point in range(5):
        track = clip.landmarks[:, point] * side
        moved = CIRCLE - CIRCLE.mean(axis=0)
        np.testing.assert_allclose(track - track.mean(axis=0), moved, atol=2.5)


def test_boxes_hold_the_landmarks(tmp_path):
    clip = made(write(tmp_path / "clip.mp4", moving(FRAMES, STILL)))
    for box, points in ((clip.mouth_box, [3, 4]), (clip.eye_box, [0, 1])):
        assert box.shape == (FRAMES, 4)
        assert (box[:, None, :2] < clip.landmarks[:, points]).all()
        assert (box[:, None, 2:] > clip.landmarks[:, points]).all()
    assert (clip.eye_box[:, 3] < clip.mouth_box[:, 3]).all()


@pytest.mark.parametrize(
    ("reason", "frames", "audio"),
    [
        ("too short", moving(20, STILL[:20]), None),
        ("no face", np.full((FRAMES, 120, 160, 3), 90, np.uint8), None),
        ("several faces", np.concatenate([moving(FRAMES, STILL, width=240)] * 2, axis=2), None),
        ("silent", moving(FRAMES, STILL), np.zeros(640 * FRAMES, np.float32)),
        (
            "out of crop",
            moving(FRAMES, np.linspace([-75, 0], [75, 0], FRAMES)),
            None,
        ),
        (
            "cut detected: the picture changes at 0.80 s",
            np.concatenate(
                [moving(20, STILL[:20]), 255 - moving(20, STILL[:20] + 30)[:, ::-1]], axis=0
            ),
            None,
        ),
    ],
)
def test_rejections_say_why(tmp_path, reason, frames, audio):
    with pytest.raises(errors.RejectedClip, match=reason):
        made(write(tmp_path / "clip.mp4", np.ascontiguousarray(frames), audio))


def test_a_face_too_small_for_the_size_is_rejected(tmp_path):
    path = write(tmp_path / "clip.mp4", moving(FRAMES, STILL))
    with pytest.raises(errors.RejectedClip, match="too small"):
        made(path, size=256)


def write_manifest(path, lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_manifest_becomes_records_and_reasons(tmp_path):
    write(tmp_path / "good.mp4", moving(FRAMES, CIRCLE))
    write(tmp_path / "short.mp4", moving(10, STILL[:10]))
    path = write_manifest(
        tmp_path / "footage.jsonl",
        [
            {"video": "good.mp4", "text": "Good.", "speaker": "she"},
            {"video": "short.mp4", "text": "Short.", "speaker": "he"},
            {"video": "missing.mp4", "text": "Gone."},
        ],
    )
    entries = [entry._replace(split="train") for entry in manifest.read(path)]
    make = manifest.filmed(64)
    report = manifest.build(entries, tmp_path / "out", name="footage", make=make, workers=1)
    assert (report.kept, report.rejected) == (1, 2)
    clips = records.open_split(tmp_path / "out", "train")
    assert clips.clip_ids == ["good"]
    assert len(clips[0].frames) == FRAMES
    lines = (tmp_path / "out" / manifest.REJECTED).read_text().splitlines()
    reasons = {line["video"].split("/")[-1]: line["reason"] for line in map(json.loads, lines)}
    assert reasons["short.mp4"].startswith("too short")
    assert "no video" in reasons["missing.mp4"]


def test_nothing_prepared(tmp_path):
    write_manifest(tmp_path / "m.jsonl", [{"video": "missing.mp4", "text": "Gone."}])
    with pytest.raises(errors.NothingPrepared, match="rejected"):
        manifest.build(
            manifest.read(tmp_path / "m.jsonl"),
            tmp_path / "out",
            name="m",
            make=manifest.filmed(64),
            workers=1,
        )


def test_splits_are_disjoint_in_speakers_and_do_not_depend_on_order(tmp_path):
    lines = [{"video": f"{i}.mp4", "text": "x", "speaker": f"person {i % 40}"} for i in range(120)]
    first = manifest.read(write_manifest(tmp_path / "a.jsonl", lines))
    second = manifest.read(write_manifest(tmp_path / "a.jsonl", lines[::-1]))
    assert sorted(first) == sorted(second)
    speakers = {split: {e.speaker for e in first if e.split == split} for split in records.SPLITS}
    assert {split: len(people) for split, people in speakers.items()} == {
        "train": 36,
        "validation": 2,
        "test": 2,
    }


@pytest.mark.parametrize(
    "lines",
    [
        "not json\n",
        '{"video": "a.mp4"}\n',
        '{"video": 3, "text": "x"}\n',
        '{"video": "a.mp4", "text": "x", "split": "dev"}\n',
        '{"video": "a.mp4", "text": "x", "split": "test"}\n{"video": "b.mp4", "text": "x"}\n',
        '{"video": "a.mp4", "text": "x"}\n{"video": "a.mp4", "text": "y"}\n',
        "",
    ],
)
def test_bad_manifests(tmp_path, lines):
    (tmp_path / "bad.jsonl").write_text(lines)
    with pytest.raises(errors.BadManifest):
        manifest.read(tmp_path / "bad.jsonl")


def test_grid_names_are_sentences():
    assert grid.transcript("bbaf2n") == "bin blue at F two now"
    assert grid.transcript("swwp9s") == "set white with P nine soon"
    assert grid.transcript("lgiazp") == "lay green in A zero please"
    for name in ("bbaf2", "bbaw2n", "hello1", "bbaf2nn"):
        with pytest.raises(errors.BadManifest):
            grid.transcript(name)


def test_grid_directory(tmp_path):
    for name in ("s1/bbaf2n.mpg", "s30/lgiazp.mpg", "s34/video/swwp9s.mpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    found = {entry.clip_id: entry for entry in grid.entries(tmp_path)}
    assert {name: entry.split for name, entry in found.items()} == {
        "s1/bbaf2n": "train",
        "s30/lgiazp": "test",
        "s34/swwp9s": "validation",
    }
    assert found["s34/swwp9s"].speaker == "s34"
    with pytest.raises(errors.BadManifest):
        grid.entries(tmp_path / "s1" / "nothing")
