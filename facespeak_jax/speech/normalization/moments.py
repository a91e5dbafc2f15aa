"""Dates, decades and times of day as words."""

import re

from facespeak_jax.speech.normalization import numbers
from facespeak_jax.speech.normalization import written_forms as forms
from facespeak_jax.speech.normalization.quantities import counted
from facespeak_jax.speech.normalization.rules import Rules

_DAY = r"([0-3]?\d)(?:st|nd|rd|th)?"


def rules() -> Rules:
    """Dates and times of day."""
    year = r"([12]\d{3})"
    return [
        (rf"\b{year}-([01]\d)-([0-3]\d)\b", lambda m: _date(m[1], m[2], m[3], m[0])),
        (rf"\b([01]?\d)/([0-3]?\d)/{year}\b", lambda m: _date(m[3], m[1], m[2], m[0])),
        (rf"\b{forms.MONTH}\s+{_DAY}(?:,?\s+{year})?\b(?![:/%])", _month_day),
        (rf"\b{_DAY}\s+(?:of\s+)?{forms.MONTH}(?:,?\s+{year})?\b", _day_month),
        (rf"\b{forms.MONTH}\s+{year}\b", lambda m: f"{_month(m[1])} {numbers.year(m[2])}"),
        (r"(?<=:\d\d)\s?[-—]\s?(?=\d)|(?<=\d[ap]m)\s?[-—]\s?(?=\d)", " to "),
        (r"\b([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?\s*([AaPp])\.?\s?[Mm]\b\.?", _clock),
        (r"\b([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?()(?![\d:])", _clock),
        (r"\b(1[0-2]|[1-9])()()\s*([AaPp])\.?\s?[Mm]\b\.?", _clock),
        (r"(?<!\w)'(\d)0s\b", lambda m: numbers.plural(numbers.cardinal(m[1] + "0"))),
        (r"\b([12]\d{2}0)'?s\b", lambda m: numbers.plural(numbers.year(m[1]))),
        (r"\b([2-9]0)'?s\b", lambda m: numbers.plural(numbers.cardinal(m[1]))),
    ]


def _month(name: str) -> str:
    return next(month for month in forms.MONTHS if month.startswith(name[:3]))


def _date(year: str, month: str, day: str, written: str) -> str:
    if not 1 <= int(month) <= 12 or not 1 <= int(day) <= 31:
        return written
    return f"{forms.MONTHS[int(month) - 1]} {numbers.ordinal(day)}, {numbers.year(year)}"


def _month_day(match: re.Match[str]) -> str:
    if not 1 <= int(match[2]) <= 31:
        return match[0]
    year = f", {numbers.year(match[3])}" if match[3] else ""
    return f"{_month(match[1])} {numbers.ordinal(match[2])}{year}"


def _day_month(match: re.Match[str]) -> str:
    if not 1 <= int(match[1]) <= 31:
        return match[0]
    year = f", {numbers.year(match[3])}" if match[3] else ""
    return f"the {numbers.ordinal(match[1])} of {_month(match[2])}{year}"


def _clock(match: re.Match[str]) -> str:
    hour, minute, second, half = match.groups(default="")
    words = [numbers.cardinal(str(int(hour)))]
    if minute and minute != "00":
        words.append(("oh " if minute[0] == "0" else "") + numbers.cardinal(str(int(minute))))
    elif minute and not half:
        words.append("o'clock" if 1 <= int(hour) <= 12 else "hundred")
    if second and second != "00":
        words.append(f"and {counted(str(int(second)), 'second')}")
    if half:
        words.append(f"{half.upper()} M")
    ends = match[0].endswith(".") and re.match(forms.SENTENCE_END, match.string[match.end() :])
    return " ".join(words) + ("." if ends else "")
