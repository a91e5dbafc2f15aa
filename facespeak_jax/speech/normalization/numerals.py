"""Roman numerals, ordinals, years, versions, and every digit no other rule has read."""

import re

from facespeak_jax.speech.normalization import numbers
from facespeak_jax.speech.normalization import written_forms as forms
from facespeak_jax.speech.normalization.rules import Rules


def roman() -> Rules:
    """Roman numerals where the word before calls for one."""
    return [
        (rf"\b({forms.COUNTED})\s+([IVXL]+)\b", _roman_cardinal),
        (rf"\b({forms.CROWNED})\s+([IVX]*[VX][IVX]*|II|III)\b", _roman_ordinal),
        (rf"\b({forms.CROWNED})\s+(I)(?=\s*[,.;:?!]|\s*$|\s+(?:of|was)\b)", _roman_ordinal),
        (r"\b([A-Z][a-z]+)\s+(II|III|VI{1,3}|IX|XI{1,3}|XIV|XVI{0,3}|XIX|XXI?)\b", _roman_cardinal),
    ]


def _roman_cardinal(match: re.Match[str]) -> str:
    value = numbers.roman(match[2])
    return f"{match[1]} {numbers.cardinal(str(value))}" if value else match[0]


def _roman_ordinal(match: re.Match[str]) -> str:
    value = numbers.roman(match[2])
    return f"{match[1]} the {numbers.ordinal(str(value))}" if value else match[0]


def plain() -> Rules:
    """Ordinals, years, versions, and every digit still left."""
    return [
        (r"\b(\d+(?:,\d{3})*)(?:st|nd|rd|th)\b", lambda m: numbers.ordinal(m[1]), re.I),
        (
            r"\b(\d+(?:\.\d+){2,})\b",
            lambda m: " point ".join(map(numbers.cardinal, m[1].split("."))),
        ),
        (r"(?<![\w.,])(1[1-9]\d{2}|20\d{2})(?!\w|[.,]\d)", _year),
        (
            rf"\b({forms.NUMBERED})\s+(\d{{3}})\b(?![.,]\d)",
            lambda m: f"{m[1]} {numbers.year(m[2])}",
        ),
        (r"(?<![\w.])-(?=\.?\d)", " minus "),
        (r"(?<=\d)(?=[A-Za-z])|(?<=[A-Za-z])(?=\d)", " "),
        (r"(?<=\d):(?=\d)", " to "),
        (r"(?<=\d)[-/](?=[\dA-Za-z])|(?<=[A-Za-z])-(?=\d)", " "),
        (numbers.WRITTEN, lambda m: f" {numbers.decimal(m[0].replace(',', ''))} "),
    ]


def _year(match: re.Match[str]) -> str:
    before = re.search(r"([A-Za-z]+)\W*$", match.string[: match.start()])
    after = re.match(r"\s+([a-z]+)", match.string[match.end() :])
    dated = before and before[1].lower() in forms.BEFORE_YEAR
    counts_things = (
        after
        and after[1].endswith("s")
        and after[1] not in {"is", "was", "has", "as", "this", "its"}
    )
    if counts_things and not dated:
        return numbers.cardinal(match[1])
    return numbers.year(match[1])
