import re

import numpy as np
import pytest

from facespeak_jax.data.heads import sentences as module
from facespeak_jax.data.heads.sentences import (
    sentences,
    wordnet_examples,
    words,
)
from facespeak_jax.data.heads.sentences import (
    test_sentences as written,
)


@pytest.fixture(scope="module")
def train(wordnet):
    return sentences("train", 0)


@pytest.fixture(scope="module")
def validation(wordnet):
    return sentences("validation", 0)


def keys(texts):
    """Each text and each part of a joined text, as its words alone."""
    parts = [part for text in texts for part in [text, *re.split(r"[.?!,] ", text)]]
    return {" ".join(words(part)) for part in parts}


def test_there_are_words_enough_even_in_a_small_corpus(train):
    assert len({word for text in train for word in words(text)}) > 30_000
    assert len({word for text in train[:4500] for word in words(text)}) >= 15_000


def test_sentences_are_worth_saying(train, validation):
    for text in [*train, *validation]:
        assert text[0].isupper() or text[0].isdigit() or text[0] in "'$"
        assert text[-1] in ".?!"
        assert 1 <= len(words(text)) <= 40
        assert not module._UNWANTED.search(text)
    lengths = np.array([len(words(text)) for text in train])
    assert (lengths <= 3).mean() > 0.02
    assert (lengths >= 12).mean() > 0.05
    assert 0.03 < np.mean([text.endswith("?") for text in train]) < 0.2


def test_each_sentence_once(train, validation):
    assert len(set(train)) == len(train)
    assert len(set(validation)) == len(validation)


def test_splits_are_disjoint_to_the_last_part_of_a_joined_sentence(train, validation):
    examples = {" ".join(words(text)): text for text in wordnet_examples()}
    in_validation = {key for key in keys(validation) if key in examples}
    assert len(in_validation) > 1000
    assert not in_validation & keys(train)
    shared = keys(written()) & (keys(train) | keys(validation))
    assert all(len(key.split()) < 3 for key in shared)


def test_validation_is_a_small_share(train, validation):
    assert 0.03 < len(validation) / len(train) < 0.08


def test_the_order_is_seeded_and_the_split_is_not(train, validation):
    again, other = sentences("validation", 0), sentences("validation", 1)
    assert again == validation != other
    assert not {" ".join(words(text)) for text in other} & {" ".join(words(text)) for text in train}


def test_written_test_sentences():
    texts = written()
    assert len(texts) >= 300
    assert len(set(texts)) == len(texts)
    assert all(5 <= len(text.split()) <= 16 for text in texts)
    assert sorted(sentences("test", 3)) == sorted(texts)
    assert sum(text.endswith("?") for text in texts) >= 25


def test_new_words_come_first():
    texts = [f"New n{k}." if k % 11 == 0 else f"The word w{k % 5}." for k in range(440)]
    ordered = module._new_words_first(texts)
    assert sorted(ordered) == sorted(texts)
    assert sum(text.startswith("New") for text in ordered[:50]) >= 35


@pytest.mark.parametrize(
    ("example", "spoken"),
    [
        ("he ran fast; very fast", "He ran fast; very fast."),
        ("could you develop the ideas", "Could you develop the ideas?"),
        ("what did he say", "What did he say?"),
        ("do nothing", "Do nothing."),
        ("watch out!", "Watch out!"),
        ("my goodness--what a day", "My goodness, what a day."),
    ],
)
def test_capital_and_final_mark(example, spoken):
    assert module._finished(module._clean(example)) == spoken


@pytest.mark.parametrize(
    "example", ["`oi' is odd", "(or so) it is", "one", "4 MIPS is fast", "a...b c"]
)
def test_what_cannot_be_read_aloud_is_left_out(example):
    assert not module._clean(example)
