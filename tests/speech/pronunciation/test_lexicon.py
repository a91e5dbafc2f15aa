"""The dictionary, and the words derived from it."""

import pytest

from facespeak_jax.speech.pronunciation import lexicon


def test_dictionary_is_whole_and_uses_every_phone():
    entries = lexicon.dictionary()
    assert len(entries) > 126_000
    used = {phone for entry in entries.values() for phone in entry.replace("|", " ").split()}
    assert used == set(lexicon.PHONES)


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("hello", "HH AH0 L OW1"),
        ("colour", "K AH1 L ER0"),
        ("don't", "D OW1 N T"),
        ("emoji's", "IH0 M OW1 JH IY0 Z"),
        ("vlogs", "V L AO1 G Z"),
        ("vlogging", "V L AO1 G IH0 NG"),
        ("vlogged", "V L AO1 G D"),
        ("vlogger", "V L AO1 G ER0"),
        ("emoji'll", "IH0 M OW1 JH IY0 AH0 L"),
    ],
)
def test_words_and_their_inflections(word, phones):
    assert lexicon.pronounce(word) == tuple(phones.split())


@pytest.mark.parametrize(
    ("stem", "plural", "past"),
    [("k ae1 t", "S", "IH0 D"), ("d ao1 g", "Z", "D"), ("k ih1 s", "AH0 Z", "T")],
)
def test_endings_follow_the_last_sound(stem, plural, past):
    sound = tuple(stem.upper().split())
    assert lexicon.plural(sound) == (*sound, *plural.split())
    assert lexicon.past(sound) == (*sound, *past.split())


def test_unlisted_words_are_left_to_the_spelling_model():
    assert lexicon.pronounce("zorble") is None
    assert lexicon.variants("zorble") == []


def test_compounds_join_common_words_only():
    assert lexicon.compound("livestream") == ("L", "AY1", "V", "S", "T", "R", "IY2", "M")
    assert lexicon.compound("thankful") is None
    assert lexicon.compound("zorblewatch") is None


@pytest.mark.parametrize(("name", "phones"), [("a", "EY1"), ("w", "D AH1 B AH0 L Y UW0")])
def test_names_of_letters(name, phones):
    assert lexicon.letter(name) == tuple(phones.split())
