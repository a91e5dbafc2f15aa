import dataclasses
import hashlib

import numpy as np
import pytest
from etils import epath

from facespeak_jax.data import records, schema
from facespeak_jax.data.heads import builder as module
from facespeak_jax.data.heads.builder import (
    Corpus,
    TooFewPeople,
    by_processes,
    make_clip,
    prepare,
)
from facespeak_jax.data.heads.voice import Speech


class Murmur:
    """Stands in for the neural voice: a buzz, five mel frames for each symbol."""

    def synthesize(self, phonemes, style, speed):
        durations = np.full(len(phonemes), 5, np.int32)
        durations[-1] += -durations.sum() % 4
        samples = np.arange(160 * durations.sum())
        wave = 0.3 * np.sin(0.05 * samples * speed) * (1 + np.sin(0.002 * samples)) / 2
        return Speech(wave.astype(np.float32), durations)


@pytest.fixture
def quick(monkeypatch, mesh, kokoro):
    monkeypatch.setattr(module, "_neural_voice", Murmur)


def same(one, other):
    fields = (dataclasses.asdict(clip) for clip in (one, other))
    return all(
        np.array_equal(a, b) for a, b in zip(*(list(f.values()) for f in fields), strict=True)
    )


@pytest.mark.parametrize("people", [3, 10, 50, 400])
def test_people_are_split_without_remainder(people):
    corpus = Corpus(people, 2)
    parts = [corpus.people_of(split) for split in records.SPLITS]
    assert [person for part in parts for person in part] == list(range(people))
    assert all(len(part) >= 1 for part in parts)
    if people >= 50:
        assert len(parts[1]) == pytest.approx(0.04 * people, abs=1)
        assert len(parts[2]) == pytest.approx(0.06 * people, abs=1)


def test_too_few_people():
    with pytest.raises(TooFewPeople, match="at least 3"):
        Corpus(2, 5)


def test_texts_belong_to_the_split_and_differ(monkeypatch):
    texts = {split: [f"{split} {k}" for k in range(200)] for split in records.SPLITS}
    monkeypatch.setattr(module, "_sentences", lambda split, seed: texts[split])
    corpus = Corpus(20, 4)
    said = [corpus.text(person, index) for person in range(20) for index in range(4)]
    assert len(set(said)) == len(said)
    for split in records.SPLITS:
        for person in corpus.people_of(split):
            assert corpus.text(person, 3).startswith(split)


def test_a_clip_is_valid_and_a_function_of_its_arguments(quick):
    clip = make_clip(5, 1, 0, 32, "Pam may buy five.")
    schema.validate(clip)
    assert clip.symbols[0] == "<bos>"
    assert clip.symbols[-1] == "<eos>"
    assert len(clip.units) == len(clip.frames) == len(clip.pose) == len(clip.lip_opening)
    assert len(clip.crossed_frames) == len(clip.frames) // 4
    assert (clip.crossed_head != clip.crossed_lips).all()
    assert same(clip, make_clip(5, 1, 0, 32, "Pam may buy five."))


def test_clips_of_a_person_share_the_person_only(quick):
    first, second = (make_clip(5, 1, index, 32, "Pam may buy five.") for index in (0, 1))
    stranger = make_clip(5, 2, 0, 32, "Pam may buy five.")
    assert first.speaker == second.speaker != stranger.speaker
    assert first.clip_id != second.clip_id
    assert np.array_equal(first.voice, second.voice)
    assert not np.array_equal(first.voice, stranger.voice)
    assert not np.array_equal(first.pose, second.pose)
    assert first.frames != second.frames


def test_lips_close_in_the_picture_and_crossed_frames_have_the_other_mouth(quick):
    clip = make_clip(5, 3, 0, 48, "My mama, Bob, Papa.")
    ends = np.cumsum(clip.durations)
    for symbol, end, length in zip(clip.symbols, ends, clip.durations, strict=True):
        if symbol in ("P", "B", "M"):
            first, last = (end - length) // 4, -(-end // 4)
            assert clip.lip_opening[max(first - 1, 0) : last + 1].min() < 0.02
    assert clip.lip_opening.max() > 0.12


def test_the_seed_gives_the_bytes_and_an_interruption_changes_nothing(quick, tmp_path, monkeypatch):
    def make_here(corpus, workplace):
        for person in range(corpus.people):
            for index in range(corpus.clips):
                if not module._place(workplace, person, index).exists():
                    module.make_one(corpus, workplace, person, index)

    monkeypatch.setattr(Corpus, "text", lambda corpus, person, index: f"Bob is {person}.")
    monkeypatch.delitem(module.assets.ASSETS, "wordnet")  # of which nothing is said here
    digests = []
    for name in ("straight", "resumed"):
        out = tmp_path / name
        if name == "resumed":
            workplace = epath.Path(out) / ".heads-3x1-24-9"
            workplace.mkdir(parents=True)
            module.make_one(Corpus(3, 1, 24, 9), workplace, 1, 0)
        directory = prepare(Corpus(3, 1, 24, 9), out, make_here)
        files = sorted(path for path in directory.iterdir() if "array_record" in path.name)
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in files])
        assert not list(out.glob(".heads*"))
    assert digests[0] == digests[1]
    clips = records.open_split(tmp_path / "straight", "validation")
    assert clips[0].speaker == "heads-9-00001"
    with pytest.raises(records.DataExists):
        prepare(Corpus(3, 1, 24, 9), tmp_path / "straight", make_here)


@pytest.mark.slow
def test_two_processes_make_what_one_makes(tmp_path, mesh, kokoro, wordnet):
    directory = prepare(Corpus(3, 1, 24, 1), tmp_path, by_processes(2))
    made = records.open_split(directory, "test")[0]
    assert same(made, Corpus(3, 1, 24, 1).clip(2, 0))
