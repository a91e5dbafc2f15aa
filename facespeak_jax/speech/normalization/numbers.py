"""Numbers as the words an American English speaker says. Spelling by `inflect` (MIT)."""

from functools import cache

import inflect

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
WRITTEN = r"(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)"  # "1,234.5", ".5"
LONGEST = 15  # digits; longer numbers are read digit by digit
ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}


@cache
def _engine() -> inflect.engine:
    return inflect.engine()


def cardinal(digits: str) -> str:
    """ "1,234" -> "one thousand two hundred thirty four"; "007" and very long ones by digits."""
    digits = digits.replace(",", "")
    if len(digits) > LONGEST or (len(digits) > 1 and digits[0] == "0"):
        return spelt(digits)
    return _plain(_words(digits))


def ordinal(digits: str) -> str:
    """ "22" -> "twenty second"."""
    digits = digits.replace(",", "").lstrip("0") or "0"
    if len(digits) > LONGEST:
        return spelt(digits)
    return _plain(_engine().ordinal(_words(digits)))


def decimal(number: str) -> str:
    """ "3.14" -> "three point one four"; ".5" -> "point five"; whole numbers as `cardinal`."""
    whole, point, part = number.partition(".")
    words = [cardinal(whole)] if whole else []
    return " ".join([*words, "point", spelt(part)] if point and part else words)


def spelt(digits: str) -> str:
    """ "505" -> "five zero five"."""
    return " ".join(DIGITS[int(digit)] for digit in digits if digit.isdigit())


def year(digits: str) -> str:
    """ "1984" -> "nineteen eighty four"; "1905" -> "nineteen oh five"; "101" -> "one oh one"."""
    century, rest = digits[:-2], digits[-2:]
    if digits[-3:-1] == "00":
        return cardinal(digits)
    if rest == "00":
        return f"{cardinal(century)} hundred"
    return (
        f"{cardinal(century)} {'oh ' + DIGITS[int(rest[1])] if rest[0] == '0' else cardinal(rest)}"
    )


def plural(words: str) -> str:
    """The last number word in the plural: "nineteen ninety" -> "nineteen nineties"."""
    if words.endswith("y"):
        return words[:-1] + "ies"
    return words + ("es" if words.endswith("x") else "s")


def fraction(top: str, bottom: str) -> str:
    """ "3", "4" -> "three quarters"; "1", "2" -> "one half"."""
    names = {"2": "half", "4": "quarter"}
    name = names.get(bottom) or ordinal(bottom)
    if int(top) != 1:
        name = "halves" if name == "half" else plural(name) if name[-1] != "y" else name + "s"
    return f"{cardinal(top)} {name}"


def roman(numeral: str) -> int | None:
    """The value of a well-formed Roman numeral below 90, else None."""
    values = [ROMAN[c] for c in numeral]
    total = sum(-v if v < after else v for v, after in zip(values, [*values[1:], 0], strict=True))
    tens = ("", "X", "XX", "XXX", "XL", "L", "LX", "LXX", "LXXX")
    ones = ("", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
    return total if 0 < total < 90 and tens[total // 10] + ones[total % 10] == numeral else None


def _words(digits: str) -> str:
    return str(_engine().number_to_words(digits, andword=""))


def _plain(words: str) -> str:
    return " ".join(words.replace(",", " ").replace("-", " ").split())
