"""Examples of the speech stage: one shape, another picture of the same person, never a border."""

import dataclasses

import numpy as np
import pytest

from facespeak_jax.data import records
from facespeak_jax.data.examples.speech import SpeechExamples
from facespeak_jax.data.schema import BadExample, decode_image, encode_image


@pytest.fixture(scope="module")
def clips(corpus):
    return records.open_split(corpus, "train")


def test_the_picture_comes_from_another_clip_of_the_person(clips):
    maker = SpeechExamples(size=64, tokens=16, mels=200, crop=48, strength=0.0)
    for position in range(len(clips)):
        example = maker(clips, np.random.default_rng(position), position)
        own = decode_image(clips[position].frames[0])
        other = next(p for p in clips.by_speaker(clips[position].speaker) if p != position)
        theirs = decode_image(clips[other].frames[0])
        corner = example["identity"][0, 0].astype(int)
        assert abs(corner - theirs[0, 0]).max() <= 3
        assert abs(corner - own[0, 0].astype(int)).max() > 3


def test_examples_have_one_shape_and_vary(clips):
    maker = SpeechExamples(size=32, tokens=16, mels=200, crop=48)
    made = [maker(clips, np.random.default_rng(seed), 0) for seed in range(8)]
    for name in made[0]:
        assert len({(x[name].shape, x[name].dtype) for x in made}) == 1, name
    assert len({x["identity"].tobytes() for x in made}) == 8
    starts = {int(x["start"]) for x in made}
    assert len(starts) > 1
    assert all(start % 4 == 0 and start + 48 <= 192 for start in starts)


@pytest.mark.parametrize(("limits", "message"), [((5, 200), "phonemes"), ((16, 100), "mel frames")])
def test_clips_that_do_not_fit_are_refused(clips, limits, message):
    maker = SpeechExamples(size=32, tokens=limits[0], mels=limits[1], crop=48)
    with pytest.raises(BadExample, match=message):
        maker(clips, np.random.default_rng(0), 0)


class White(records.Clips):
    """One clip whose frames are white to the very edge."""

    def __init__(self, clip):
        white = encode_image(np.full((32, 32, 3), 255, np.uint8))
        self.clip = dataclasses.replace(clip, frames=[white] * len(clip.frames))

    def __getitem__(self, position):
        return self.clip

    def by_speaker(self, speaker):
        return np.array([0])


def test_a_moved_picture_has_no_black_border(clips):
    maker = SpeechExamples(size=32, tokens=16, mels=200, crop=48, strength=0.5)
    white = White(clips[0])
    darkest = [maker(white, np.random.default_rng(seed), 0)["identity"].min() for seed in range(30)]
    # Other walls may be of any colour; most pictures keep their own.
    assert np.median(darkest) > 100
