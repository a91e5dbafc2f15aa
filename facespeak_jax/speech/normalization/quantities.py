"""Telephone numbers, money, percentages, measures, fractions and ranges as words."""

import re

from facespeak_jax.speech.normalization import numbers
from facespeak_jax.speech.normalization import written_forms as forms
from facespeak_jax.speech.normalization.rules import Rules

_SCALE = r"(?:\s*(hundred|thousand|million|billion|trillion)\b|(k|m|mn|bn|b|K|M|B|tn)\b)?"


def rules() -> Rules:
    """Telephone numbers, money, percent, units, fractions, ranges."""
    money = "|".join(re.escape(sign) for sign in sorted(forms.MONEY, key=len, reverse=True))
    units = "|".join(sorted(map(re.escape, forms.UNITS), key=len, reverse=True))
    rates = "|".join(sorted(map(re.escape, forms.RATES), key=len, reverse=True))
    amount = rf"(?<![\w.])(-?)({numbers.WRITTEN})"
    return [
        (r"(?<![\w.])(\+?)(?:(\d{1,3})[ .-])?\((\d{3})\)\s?(\d{3})[ .-](\d{4})\b", _telephone),
        (r"(?<![\w.])(\+?)(?:(\d{1,3})[ .-])?(\d{3})[.-](\d{3})[.-](\d{4})\b", _telephone),
        (r"(?<!\w)(\+)(\d{1,3}) (\d{2,4}) (\d{3,4}) (\d{3,4})\b", _telephone),
        (r"(?<![\w$£€¥.,-])()()()(\d{3})-(\d{4})\b", _telephone),
        (rf"(?<![\w])(-?)({money})\s?({numbers.WRITTEN}){_SCALE}(?!\w)", _money),
        (rf"({numbers.WRITTEN})\s?€", lambda m: counted(m[1], "euro")),
        (rf"({numbers.WRITTEN})\s?¢", lambda m: counted(m[1], "cent")),
        (
            rf"({numbers.WRITTEN})\s?(?:-|—)\s?(?={numbers.WRITTEN}\s?%)",
            lambda m: f"{numbers.decimal(m[1].replace(',', ''))} to ",
        ),
        (rf"{amount}\s?%", lambda m: _signed(m[1], m[2]) + " percent"),
        (
            rf"{amount}\s?°\s?([CF])\b",
            lambda m: _degrees(m) + {"C": " Celsius", "F": " Fahrenheit"}[m[3]],
        ),
        (rf"{amount}\s?°", _degrees),
        (rf"{amount}\s?({rates})\b", lambda m: f"{_signed(m[1], m[2])} {forms.RATES[m[3]]}"),
        (
            rf"{amount}\s?({units})\^2",
            lambda m: _signed(m[1], m[2]) + " square " + _many(forms.UNITS[m[3]]),
        ),
        (
            rf"{amount}\s?({units})\^3",
            lambda m: _signed(m[1], m[2]) + " cubic " + _many(forms.UNITS[m[3]]),
        ),
        (rf"{amount}[ -]?({units})\b(?!['-])(?:\.(?=\s+[a-z\d]))?", _measure),
        (r"\b(\d+)'\s?(\d+)\"", lambda m: f"{counted(m[1], 'foot')} {numbers.cardinal(m[2])}"),
        (rf"(?<![\w.])({numbers.WRITTEN})\"", lambda m: counted(m[1], "inch")),
        (r"\b(24/7|9/11|50/50)\b(?!/)", lambda m: " ".join(map(numbers.cardinal, m[1].split("/")))),
        (r"(?<![\w/.,])(\d+) (\d{1,2})/(\d{1,2})(?![\w/])", _mixed),
        (r"(?<![\w/.,])(\d{1,2})/(\d{1,3})(?![\w/])", _fraction),
        (
            r"\b([12]\d{3})\s?[-—]\s?([12]\d{3})\b",
            lambda m: f"{numbers.year(m[1])} to {numbers.year(m[2])}",
        ),
        (
            r"(?<![\w.-])(\d+(?:\.\d+)?)\s?[-—]\s?(?=\d+(?:\.\d+)?(?![\w-]))",
            lambda m: f"{m[1]} to ",
        ),
        (r"\b(\d+)\s?x\s?(?=\d+\b)", lambda m: f"{m[1]} by "),
        (r"\b(\d+)x\b", lambda m: f"{m[1]} times"),
    ]


def _telephone(match: re.Match[str]) -> str:
    plus, *groups = match.groups(default="")
    spoken = [numbers.spelt(group) for group in groups if group]
    return ("plus " if plus else "") + ", ".join(spoken)


def _many(unit: str) -> str:
    first, _, last = unit.rpartition(" ")
    return (
        f"{first} {forms.PLURALS.get(last, last if last.endswith('hertz') else last + 's')}".strip()
    )


def counted(number: str, unit: str) -> str:
    """ "2", "foot" -> "two feet"; the unit as it is after "1"."""
    number = number.replace(",", "")
    return f"{numbers.decimal(number)} {unit if number in ('1', '1.0') else _many(unit)}"


def _signed(sign: str, number: str) -> str:
    return ("minus " if sign else "") + numbers.decimal(number.replace(",", ""))


def _degrees(match: re.Match[str]) -> str:
    return _signed(match[1], match[2]) + (" degree" if match[2] == "1" else " degrees")


def _measure(match: re.Match[str]) -> str:
    spaced_word = match[3] == "in" and not re.match(
        r"\s*(?:[.,;:?!)]|$|by\b|x\b|wide|long|tall|high)", match.string[match.end() :]
    )
    if spaced_word:
        return match[0]
    return ("minus " if match[1] else "") + counted(match[2], forms.UNITS[match[3]])


def _money(match: re.Match[str]) -> str:
    sign, currency, number, scale, letter = match.groups(default="")
    whole, cents = forms.MONEY[currency]
    number = number.replace(",", "")
    minus = "minus " if sign else ""
    if scale or letter:
        scale = scale or forms.SCALES[letter.lower()]
        return f"{minus}{numbers.decimal(number)} {scale} {_many(whole)}"
    units, point, part = number.partition(".")
    if not point or len(part) != 2 or not cents:
        return minus + counted(number, whole)
    spoken = [counted(units, whole)] if units.strip("0") else []
    if part != "00" or not spoken:
        spoken.append(counted(str(int(part)), cents))
    return minus + " and ".join(spoken)


def _mixed(match: re.Match[str]) -> str:
    whole, top, bottom = match.groups()
    if not 0 < int(top) < int(bottom):
        return match[0]
    part = numbers.fraction(top, bottom)
    part = re.sub(r"^one (?=half|quarter)", "a ", part)
    return f"{numbers.cardinal(whole)} and {part}"


def _fraction(match: re.Match[str]) -> str:
    top, bottom = match.groups()
    if 0 < int(top) < int(bottom) and top[0] != "0":
        return numbers.fraction(top, bottom)
    return f"{numbers.cardinal(top)} over {numbers.cardinal(bottom)}"
