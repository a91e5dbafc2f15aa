"""English text to the project's phonemes."""

import random
import time
from itertools import pairwise

import numpy as np
import pytest

from facespeak_jax.errors import EmptyText, FaceSpeakError, NothingToPronounce, UnknownSymbol
from facespeak_jax.speech.text import SYMBOLS, TextFrontEnd

FRONT_END = TextFrontEnd()


def spoken(text: str) -> str:
    """The symbols between <bos> and <eos>, the word boundary as "_"."""
    symbols = FRONT_END.phonemize(text)
    assert symbols[0] == "<bos>"
    assert symbols[-1] == "<eos>"
    return " ".join("_" if symbol == " " else symbol for symbol in symbols[1:-1])


def test_symbols_are_final():
    assert SYMBOLS[:4] == ("<pad>", "<bos>", "<eos>", " ")
    assert SYMBOLS[4:13] == (",", ".", "?", "!", ";", ":", "—", "…", '"')
    assert len(SYMBOLS) == len(set(SYMBOLS)) == 82
    assert sum(symbol[-1].isdigit() for symbol in SYMBOLS) == 45


@pytest.mark.parametrize(
    ("text", "symbols"),
    [
        ("Hello, world.", "HH AH0 L OW1 , _ W ER1 L D ."),
        ('She said "no" twice', 'SH IY1 _ S EH1 D _ " N OW1 " _ T W AY1 S'),
        ("well — maybe…", "W EH1 L — _ M EY1 B IY0 …"),
        ("the apple, the pear", "DH IY0 _ AE1 P AH0 L , _ DH AH0 _ P EH1 R"),
        ("a cat and an owl", "AH0 _ K AE1 T _ AH0 N D _ AH0 N _ AW1 L"),
        ("to eat, to see, to", "T UW0 _ IY1 T , _ T AH0 _ S IY1 , _ T UW1"),
        ("Plan A.", "P L AE1 N _ EY1 ."),
        ("A plan", "AH0 _ P L AE1 N"),
        ("the B's", "DH AH0 _ B IY1 Z"),
        ("I am {həˈleɪnə}", "AY1 _ AE1 M _ HH AH0 L EY1 N AH0"),
        ("{HH AY1}!", "HH AY1 !"),
        ("US 5", "Y UW1 _ EH1 S _ F AY1 V"),
    ],
)
def test_sentences(text, symbols):
    assert spoken(text) == symbols


@pytest.mark.parametrize(
    ("text", "sound"),
    [
        ("I want to record it", "R IH0 K AO1 R D"),
        ("they broke the record", "R EH1 K ER0 D"),
        ("he records it", "R IH0 K AO1 R D Z"),
        ("two records", "R EH1 K ER0 D Z"),
        ("I will present it", "P R IY0 Z EH1 N T"),
        ("the present", "P R EH1 Z AH0 N T"),
        ("don't object to it", "AH0 B JH EH1 K T"),
        ("an object", "AA1 B JH EH0 K T"),
        ("of no use", "Y UW1 S"),
        ("you use it", "Y UW1 Z"),
        ("Close the door", "K L OW1 Z"),
        ("a close call", "K L OW1 S"),
        ("I have read it", "R EH1 D"),
        ("I read books", "R IY1 D"),
        ("a lead pipe", "L EH1 D"),
        ("they lead", "L IY1 D"),
        ("we live here", "L IH1 V"),
        ("live music", "L AY1 V"),
        ("their lives", "L AY1 V Z"),
        ("wind up the clock", "W AY1 N D"),
        ("the wind blows", "W IH1 N D"),
        ("I used to go", "Y UW1 S T"),
        ("it was used to go", "Y UW1 Z D"),
        ("she will separate them", "S EH1 P ER0 EY2 T"),
        ("two separate rooms", "S EH1 P ER0 IH0 T"),
        ("in Polish", "P OW1 L IH0 SH"),
        ("shoe polish", "P AA1 L IH0 SH"),
    ],
)
def test_neighbours_decide_between_sounds(text, sound):
    assert f"_ {sound} _" in f"_ {spoken(text)} _"


def test_every_symbol_but_padding_is_reachable():
    phones = SYMBOLS[13:]
    text = 'one, two? three! four; five: six — seven… "eight" nine. ' + "{" + " ".join(phones) + "}"
    assert set(FRONT_END.phonemize(text)) == set(SYMBOLS) - {"<pad>"}


def test_encode_and_decode_are_inverse():
    indices = FRONT_END.encode("The quick brown fox — jumps over 13 lazy dogs!")
    assert indices.dtype == np.int32
    assert FRONT_END.decode(indices) == FRONT_END.phonemize(
        "The quick brown fox — jumps over 13 lazy dogs!"
    )
    everything = np.arange(len(SYMBOLS), dtype=np.int32)
    assert tuple(FRONT_END.decode(everything)) == SYMBOLS


@pytest.mark.parametrize("index", [-1, len(SYMBOLS)])
def test_unknown_indices_are_refused(index):
    with pytest.raises(UnknownSymbol, match="0 to 81"):
        FRONT_END.decode(np.array([0, index], np.int32))


@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_empty_text(text):
    with pytest.raises(EmptyText, match="at least one word"):
        FRONT_END.encode(text)


@pytest.mark.parametrize("text", ["...!?", "😀😀", "привет", "'' \"\"", "()"])
def test_nothing_to_pronounce(text):
    with pytest.raises(NothingToPronounce, match="Latin letters"):
        FRONT_END.encode(text)


def test_any_text_is_spoken_or_refused_with_a_typed_error():
    draw = random.Random(1)
    pools = [
        "abcdefghij XYZ '.,-0123456789$%&@#/:;!?\"()’“—…{}",
        "".join(map(chr, range(32, 0x2FF))),
    ]
    pools.append("".join(chr(draw.randrange(0x110000)) for _ in range(2000)))
    for _ in range(800):
        text = "".join(draw.choices(draw.choice(pools), k=draw.randrange(24)))
        try:
            symbols = FRONT_END.phonemize(text)
        except FaceSpeakError:
            continue
        assert set(symbols) <= set(SYMBOLS)
        assert all(pair != (" ", " ") for pair in pairwise(symbols))
        assert symbols[1] != " "
        assert symbols[-2] != " "


def test_same_text_same_symbols_and_long_text_is_quick():
    text = "The zorbled quibnacks of 1984 met Dr. Frobly at 3:45 p.m. " * 100
    start = time.perf_counter()
    first = FRONT_END.encode(text)
    assert time.perf_counter() - start < 10.0
    np.testing.assert_array_equal(first, TextFrontEnd().encode(text))
