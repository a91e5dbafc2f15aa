import dataclasses

import numpy as np
import pytest

from facespeak_jax.data import records
from facespeak_jax.data.examples import motion, sync
from facespeak_jax.data.schema import BadExample
from facespeak_jax.rates import SAMPLES_PER_FRAME
from tests import synthetic


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    directory = synthetic.write(str(tmp_path_factory.mktemp("clips")), frames=40, size=32)
    return records.open_split(directory, "train")


def table(clips, style=5):
    first = np.concatenate([[0], np.cumsum(clips.lengths)])
    rows = np.arange(first[-1])[:, None] / 1000 + np.arange(24)[None, :]
    people = np.broadcast_to(np.arange(len(clips))[:, None, None], (len(clips), 4, style))
    return motion.AlphaTable(rows.astype(np.float16), people.astype(np.float16), first)


def make(clips, seed=0, position=1, tables=None, **options):
    options = {"motions": 24, "style": 5, "shortest": 16, "frames": 24, "tokens": 20} | options
    tables = {clips.name: table(clips)} if tables is None else tables
    maker = motion.MotionExamples(tables, **options)
    return maker(clips, np.random.default_rng(seed), position)


def test_shapes_do_not_depend_on_the_draw(clips):
    shapes = [
        {name: (x.shape, x.dtype) for name, x in make(clips, seed, position=seed % 3).items()}
        for seed in range(8)
    ]
    assert all(found == shapes[0] for found in shapes)
    assert shapes[0]["alpha"][0] == (8 + 24, 24)
    assert shapes[0]["wave"][0] == (26 * SAMPLES_PER_FRAME,)
    empty = {n: (x.shape, x.dtype) for n, x in make(clips, tables={}).items()}
    assert empty == shapes[0]


def test_motion_text_and_sound_are_of_the_same_stretch(clips):
    for seed in range(12):
        example, clip = make(clips, seed), clips[1]
        length, rows = int(example["length"]), table(clips).of(1)
        stretch = example["alpha"][motion.HISTORY : motion.HISTORY + length]
        start = int(np.abs(rows - stretch[:1]).sum(1).argmin())
        np.testing.assert_array_equal(stretch, rows[start : start + length])
        assert example["has_history"] == (start >= motion.HISTORY)
        if start:
            np.testing.assert_array_equal(
                example["alpha"][: motion.HISTORY], rows[start - motion.HISTORY : start]
            )
        inside = example["wave"][SAMPLES_PER_FRAME : (length + 1) * SAMPLES_PER_FRAME]
        heard = clip.audio[start * SAMPLES_PER_FRAME : (start + length) * SAMPLES_PER_FRAME]
        np.testing.assert_allclose(inside, heard / 32768.0, atol=1e-6)
        assert example["start"] == start
        np.testing.assert_array_equal(example["durations"][:12], clip.durations)


def test_identity_comes_from_another_clip_of_the_person(clips):
    for position in range(len(clips)):
        other = int(make(clips, position=position)["identity"][0])
        assert other != position
        assert clips.speaker_of[other] == clips.speaker_of[position]


def test_an_unreadable_clip_is_a_bad_example(clips):
    broken = table(clips)
    broken.alpha[broken.first[1]] = np.nan
    with pytest.raises(BadExample, match="could not be read"):
        make(clips, tables={clips.name: broken})


def test_too_many_phonemes_are_a_bad_example(clips):
    with pytest.raises(BadExample, match="12 phonemes, limit 6"):
        make(clips, tokens=6)


def test_stretches_lie_within_the_clip():
    rng = np.random.default_rng(0)
    draws = [motion.stretch(rng, available, 64, 128) for available in range(16, 400)]
    for available, (start, frames) in zip(range(16, 400), draws, strict=True):
        assert start >= 0
        assert start + frames <= available
        assert min(64, available) <= frames <= 128
        assert start == 0 or start >= motion.HISTORY


def test_waveform_is_mirrored_at_the_ends(clips):
    clip = clips[0]
    sound = clip.audio / 32768.0
    whole = sync.waveform(clip, 0, len(clip.frames))
    n = SAMPLES_PER_FRAME
    np.testing.assert_allclose(whole[n:-n], sound, atol=1e-6)
    np.testing.assert_allclose(whole[:n], sound[1 : n + 1][::-1], atol=1e-6)
    np.testing.assert_allclose(sync.waveform(clip, 3, 5), whole[3 * n : 10 * n], atol=1e-6)


class Hissing(records.Clips):
    """One clip with noise for sound, so that no two moments sound the same."""

    def __init__(self, clip):
        entries = {"clip_id": ["hiss"], "speaker": ["s"], "frames": [len(clip.frames)]}
        super().__init__([], entries, "hissing")
        noise = np.random.default_rng(0).integers(-9999, 9999, len(clip.audio), np.int16)
        self.clip = dataclasses.replace(clip, audio=noise)

    def __getitem__(self, position):
        return self.clip


def test_wrong_moments_are_at_least_three_frames_away(clips):
    maker, hissing = sync.SyncExamples(size=32, negatives=4), Hissing(clips[2])
    clip = hissing.clip
    sounds = np.stack([sync.waveform(clip, k, 5) for k in range(len(clip.frames) - 4)])
    for seed in range(10):
        example = maker(hissing, np.random.default_rng(seed), 0)
        starts = [int(np.abs(sounds - wave).sum(1).argmin()) for wave in example["waves"]]
        np.testing.assert_array_equal(sounds[starts], example["waves"])
        np.testing.assert_array_equal(
            example["mouth_box"], clip.mouth_box[starts[0] : starts[0] + 5]
        )
        assert all(abs(start - starts[0]) >= 3 for start in starts[1:])
        assert example["frames"].shape == (5, 32, 32, 3)


def test_pictures_are_resized_to_one_size(clips):
    clip = clips[0]
    assert sync.pictures(clip.frames[:2], 32).shape == (2, 32, 32, 3)
    smaller = sync.pictures(clip.frames[:2], 16)
    assert smaller.shape == (2, 16, 16, 3)
    mean = sync.pictures(clip.frames[:2], 32).reshape(2, 16, 2, 16, 2, 3).mean((2, 4))
    assert np.abs(smaller - mean).mean() < 6
