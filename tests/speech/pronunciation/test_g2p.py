"""Words no dictionary lists."""

import numpy as np
import pytest

from facespeak_jax.speech.pronunciation import g2p, g2p_training, lexicon

PAIRS = [(word, variants[0]) for word, variants in g2p_training.entries(test=False)[::200]]


def test_error_on_words_never_trained_on():
    words = g2p_training.entries(test=True)[::60]
    rates = g2p_training.error_rates(g2p.model(), words)
    assert len(words) > 100
    assert rates["phones"] < 0.13
    assert rates["phones_plain"] < 0.10
    assert rates["words"] < 0.45


def test_word_families_are_never_split_by_the_hold_out():
    for word in ("cat", "zebra", "house", "aaron"):
        assert len({g2p_training.held_out(word + end) for end in ("", "s", "'s", "s'")}) == 1
    share = len(g2p_training.entries(test=True)) / len(lexicon.dictionary())
    assert 0.045 < share < 0.055


@pytest.mark.parametrize(
    ("word", "phones"),
    [("zorb", "Z AO1 R B"), ("shring", "SH R IH1 NG"), ("blick", "B L IH1 K")],
)
def test_regular_nonsense(word, phones):
    assert g2p.pronounce(word) == tuple(phones.split())


def test_every_letter_string_gets_known_phones():
    draw = np.random.default_rng(0)
    for _ in range(40):
        letters = draw.choice(list(g2p.LETTERS), draw.integers(2, 14))
        sound = g2p.pronounce("a" + "".join(letters))
        assert sound
        assert set(sound) <= set(lexicon.PHONES)
        assert sum(phone.endswith("1") for phone in sound) == 1


def test_probabilities_after_any_context_sum_to_one():
    model = g2p.model()
    every = np.arange(len(model.graphones))
    contexts = [np.int64(0), np.int64(model.start)]
    for letters in ("th", "c"):
        start = np.full(1, model.start, np.int64)
        contexts.append(model.step(start, model._spelt[letters][:1])[1][0])
    for context in contexts:
        log_prob, _ = model.step(np.full(len(every), context, np.int64), every)
        np.testing.assert_allclose(np.exp(log_prob.astype(np.float64)).sum(), 1.0, atol=0.05)


def test_alignment_spells_the_words_and_sounds_they_came_from(monkeypatch):
    monkeypatch.setattr(g2p_training, "RAREST", 1)
    sequences, graphones = g2p_training.align(PAIRS)
    spelt = {
        ("".join(graphones[g].letters for g in path), sum((graphones[g].phones for g in path), ()))
        for path in sequences
    }
    assert len(spelt) > 0.8 * len(PAIRS)  # a small sample leaves some graphones unseen
    assert spelt <= set(PAIRS)


def test_training_is_deterministic_and_survives_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(g2p_training, "entries", lambda *, test: [(w, [p]) for w, p in PAIRS])
    monkeypatch.setattr(g2p_training, "RAREST", 1)
    monkeypatch.setattr(g2p_training, "THRESHOLD", 0.0)
    for name in ("a.npz", "b.npz"):
        g2p_training.train().save(tmp_path / name)
    data = (tmp_path / "a.npz").read_bytes()
    assert data == (tmp_path / "b.npz").read_bytes()
    model = g2p.JointModel.load(data)
    rates = g2p_training.error_rates(model, [(w, [p]) for w, p in PAIRS[::20]])
    assert rates["phones"] < 0.2  # it has seen these


@pytest.mark.parametrize(
    ("a", "b", "distance"),
    [("", "", 0), ("abc", "abc", 0), ("kitten", "sitting", 3), ("", "ab", 2)],
)
def test_edit_distance(a, b, distance):
    assert g2p.edits(tuple(a), tuple(b)) == distance
