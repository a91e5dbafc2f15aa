"""Written forms become words and pause marks."""

import random

import pytest

from facespeak_jax.errors import UnknownSymbol
from facespeak_jax.speech.normalization import numbers
from facespeak_jax.speech.normalization.normalize import normalize

CASES = {
    # numbers
    "0 10 13 21 100": "zero ten thirteen twenty one one hundred",
    "1,234 apples": "one thousand two hundred thirty four apples",
    "2050 units": "two thousand fifty units",
    "3.14 and .5": "three point one four and point five",
    "agent 007": "agent zero zero seven",
    "1111111111111111": " ".join(["one"] * 16),
    "-5 or 5": "minus five or five",
    "1st 2nd 3rd 21st": "first second third twenty first",
    "1/2, 3/4, 7/8": "one half, three quarters, seven eighths",
    "2 1/2 cups": "two and a half cups",
    "3¾ cups": "three and three quarters cups",
    "22/7": "twenty two over seven",
    "5-10 pages": "five to ten pages",
    "5–10 pages": "five to ten pages",
    "version v2.0.1": "version version two point zero point one",
    "Room 101": "Room one oh one",
    "Boeing 747": "Boeing seven forty seven",
    # years, dates, times
    "in 1984.": "in nineteen eighty four.",
    "in 1905, in 2007": "in nineteen oh five, in two thousand seven",
    "in 1900 and 2026": "in nineteen hundred and twenty twenty six",
    "1990-1995": "nineteen ninety to nineteen ninety five",
    "the 1980s and the '90s": "the nineteen eighties and the nineties",
    "2024-03-05": "March fifth, twenty twenty four",
    "12/25/1999": "December twenty fifth, nineteen ninety nine",
    "Mar. 5": "March fifth",
    "May 3rd, 2001": "May third, two thousand one",
    "5 March 2021": "the fifth of March, twenty twenty one",
    "March 2020": "March twenty twenty",
    "at 3:45 p.m.": "at three forty five P M.",
    "at 7 a.m. today": "at seven A M today",
    "It was 3 p.m. He left.": "It was three P M. He left.",
    "at 12:00": "at twelve o'clock",
    "at 6:05": "at six oh five",
    "10:30-11:45": "ten thirty to eleven forty five",
    # money, percent, units
    "$5 and $1": "five dollars and one dollar",
    "$3.50": "three dollars and fifty cents",
    "$0.99": "ninety nine cents",
    "£20m": "twenty million pounds",
    "$2.5 billion": "two point five billion dollars",
    "€1,299.99": "one thousand two hundred ninety nine euros and ninety nine cents",
    "5€ and 50¢": "five euros and fifty cents",
    "5% off": "five percent off",
    "1 kg, 5kg": "one kilogram, five kilograms",
    "60 mph": "sixty miles per hour",
    "100 m²": "one hundred square meters",
    "20°C": "twenty degrees Celsius",
    "6'2\" tall": "six feet two tall",
    "5 ft 10 in. tall": "five feet ten inches tall",
    "50 Hz": "fifty hertz",
    # telephone, addresses
    "(555) 123-4567": "five five five, one two three, four five six seven",
    "555-1234": "five five five, one two three four",
    "a.b@example.com": "a dot b at example dot com",
    "https://www.example.com/foo.": "example dot com slash foo.",
    "#jax by @bob": "hashtag jax by at bob",
    # abbreviations, initials, capitals
    "Dr. Jones on Elm Dr. today": "Doctor Jones on Elm Drive today",
    "St. Louis, Main St. corner": "Saint Louis, Main Street corner",
    "Mr. and Mrs. Lee": "Mister and Missus Lee",
    "e.g. tea, i.e. tea, etc.": "for example tea, that is tea, et cetera.",
    "No. 7, p. 12": "number seven, page twelve",
    "He said no. 'Yes.'": "He said no. Yes.",
    "in the U.S.A.": "in the U S A.",
    "J. K. Rowling": "J K Rowling",
    "the US team, give us": "the U S team, give us",
    "STOP IT now": "STOP it now",
    "NASA": "NASA",
    "the GPUs": "the G P U's",
    "MP3, B2B": "M P three, B two B",
    "COVID-19": "COVID nineteen",
    "HELLO WORLD": "hello world",
    "OpenAI": "Open A I",
    "Henry VIII, Louis XIV's": "Henry the eighth, Louis the fourteenth's",
    "World War II, Chapter IX": "World War two, Chapter nine",
    # symbols, marks, characters
    "Tom & Jerry": "Tom and Jerry",
    "2 + 2 = 4": "two plus two equals four",
    "“Don’t”": '"Don\'t"',
    "café naïve Zürich": "cafe naive Zurich",
    "Wow!!! Really?! No...": "Wow! Really? No…",
    "one -- two - three": "one — two — three",
    "left (quickly).": "left, quickly.",
    "- apples\n- pears": "apples, pears",
    "Title\n\nText": "Title. Text",
    "smile 😀 now": "smile now",
    ", . start": "start",
    "well-known re-enter e-mail": "well known reenter email",
    "sooo coool": "so cool",
    "tbh": "T B H",
    "{HH AY1}, you": "{HH AY1}, you",
    "{həˈloʊ}": "{HH AH0 L OW1}",
}


@pytest.mark.parametrize("written", CASES)
def test_written_forms(written):
    assert normalize(written) == CASES[written]


@pytest.mark.parametrize("written", CASES)
def test_normalising_again_changes_nothing(written):
    assert normalize(normalize(written)) == normalize(written)


def test_shuffled_written_forms_stay_put_as_well():
    pieces = " ".join(CASES).split(" ")
    draw = random.Random(0)
    for _ in range(150):
        once = normalize(" ".join(draw.choices(pieces, k=8)))
        assert normalize(once) == once


@pytest.mark.parametrize("braces", ["{}", "{foo}", "{HH AH L OW1}", "{HH AH0 L OW1 XX}", "{жук}"])
def test_braces_without_a_pronunciation_are_refused(braces):
    with pytest.raises(UnknownSymbol, match="Braces hold"):
        normalize(f"say {braces}")


def test_roman_numerals_are_read_only_when_well_formed():
    assert [numbers.roman(n) for n in ("IV", "XIX", "LXXXVIII")] == [4, 19, 88]
    assert [numbers.roman(n) for n in ("IIII", "VX", "IC", "C")] == [None] * 4
