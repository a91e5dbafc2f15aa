"""Written English to speakable words and pause marks.

The result holds words, spelled letters as single capitals, pronunciations in braces, and the pause
marks `, . ? ! ; : — … "`, and normalising it again changes nothing.
"""

import re
import unicodedata
from functools import cache

from facespeak_jax.speech.normalization import addresses, moments, numerals, quantities, short_forms
from facespeak_jax.speech.normalization import written_forms as forms
from facespeak_jax.speech.normalization.punctuation import tidy
from facespeak_jax.speech.normalization.rules import Action, Rules, compiled
from facespeak_jax.speech.normalization.spelling import readable
from facespeak_jax.speech.pronunciation.respelling import respell

PASSES = 6  # two are enough for prose

_FOREIGN = re.compile(r"[^ -~\n—£€¥₹¢°]")


def normalize(text: str) -> str:
    """The text as words and pause marks; empty when nothing can be spoken.

    Raises UnknownSymbol when braces hold anything but a pronunciation.
    """
    for _ in range(PASSES):
        before, text = text, _pass(text)
        if text == before:
            break
    return text


def _pass(text: str) -> str:
    """One application of all rules; what one rule writes may be what an earlier rule reads."""
    pieces: list[str] = re.split(r"\{([^{}]*)\}", text)
    for index in range(0, len(pieces), 2):
        pieces[index] = _speakable(pieces[index])
    for index in range(1, len(pieces), 2):
        pieces[index] = " {" + " ".join(respell(pieces[index])) + "} "
    return tidy("".join(pieces))


def _speakable(text: str) -> str:
    """All rules in order, for text without pronunciations in braces."""
    text = _fold(text)
    for pattern, replacement in _rules():
        text = pattern.sub(replacement, text)
    return readable(text)


def _fold(text: str) -> str:
    """Quotes, dashes, accents and look-alikes as plain characters; no emoji or foreign scripts."""
    text = re.sub(r"(?<=\d)(?=[¼-¾⅐-⅞])", " ", text).translate(forms.CHARACTERS)
    text = unicodedata.normalize("NFKD", text).translate(forms.CHARACTERS)
    text = "".join(c for c in text if not unicodedata.combining(c))
    return _FOREIGN.sub(" ", re.sub(r"[^\S\n]", " ", text))


@cache
def _rules() -> list[tuple[re.Pattern[str], Action]]:
    return compiled(
        _layout(),
        addresses.rules(),
        short_forms.rules(),
        moments.rules(),
        quantities.rules(),
        numerals.roman(),
        numerals.plain(),
        _symbols(),
    )


def _layout() -> Rules:
    """Lists, headings, paragraphs."""
    return [
        (r"^[ ]*(?:#{1,6}|[-*+>])[ ]+", "", 0),
        (r"([.,;:?!])?[ ]*\n\s*(?:[-*+]|\d{1,3}[.)])[ ]+", lambda m: (m[1] or ",") + " "),
        (r"\n[ ]*#{1,6}[ ]+", "\n\n"),
        (r"[ ]*\n[ ]*\n\s*", ". "),
        (r"\n", " "),
        (r"\.(?:[ ]?\.)+", "…"),
        (r"(?<=[ ])-{1,3}(?=[ ])|-{2,}", "—"),
    ]


def _symbols() -> Rules:
    """What is left of the keyboard."""
    return [
        (r"\band/or\b", "and or"),
        (r"\s*&\s*", " and "),
        (r"%", " percent "),
        (r"@", " at "),
        (r"\+", " plus "),
        (r"=", " equals "),
        (r"\^ two\b", " squared "),
        (r"\^ three\b", " cubed "),
        (r"\^", " to the power of "),
        (r"°", " degrees "),
        (r"£", " pounds "),
        (r"€", " euros "),
        (r"¥", " yen "),
        (r"₹", " rupees "),
        (r"¢", " cents "),
        (r"\$", " dollars "),
        (r"[ ]*—[ ]*", " — "),
        (r"~(?= ?[a-z])", " about "),
        (r"[()\[\]]", ", "),
        (r"[#*_~|\\/{}]", " "),
    ]
