"""Which words are read and which are spelled letter by letter."""

import re

from facespeak_jax.speech.normalization import written_forms as forms
from facespeak_jax.speech.pronunciation import lexicon
from facespeak_jax.speech.tables import words

_PREFIXES = words("anti co de mis multi non pre re sub un")
_REPEATED = re.compile(r"([a-z])\1{2,}")


def readable(text: str) -> str:
    """Decide for every word whether it is read or spelled."""
    long = re.findall(r"[A-Za-z]{2,}", text)
    shouted = len(long) > 1 and all(word.isupper() for word in long)
    text = re.sub(r"\b([A-Za-z]+)-(?=([A-Za-z]+))", _hyphen, text).replace("-", " ")
    # "STOP IT" is emphasis, "the IT team" is not.
    text = re.sub(r"\b([A-Z]{3,} )(IT|US)\b", lambda m: m[1] + m[2].lower(), text)
    return re.sub(
        r"[A-Za-z]+(?:'[A-Za-z]+)*", lambda m: _word(m[0].lower() if shouted else m[0]), text
    )


def _hyphen(match: re.Match[str]) -> str:
    """Join a prefix to its word ("re-enter"), part everything else ("well-known")."""
    joined = (match[1] + match[2]).lower()
    prefixed = (
        match[1].lower() in _PREFIXES and len(match[2]) > 2 and lexicon.known(match[2].lower())
    )
    electronic = match[1].lower() == "e" and lexicon.known(joined)
    return match[1] if prefixed or electronic else match[1] + " "


def _word(word: str) -> str:
    lower = word.lower()
    if len(word) == 1:
        return word
    stem, apostrophe, ending = word.partition("'")
    if stem.isupper() and len(stem) > 1 and ending in ("", "s"):
        return _capitals(stem) + apostrophe + ending
    if re.fullmatch(r"[A-Z]{2,}s", word) and not lexicon.known(lower):
        return _capitals(word[:-1]) + "'s"
    if lexicon.pronounce(lower):
        return word
    if not apostrophe and re.search(r"[a-z][A-Z]", word.removeprefix("Mc")):
        return " ".join(_word(part) for part in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", word))
    if _REPEATED.search(lower):
        times = (1, 2) if lower[-1] == lower[-3] else (2, 1)  # "sooo", "coool"
        shorter = (_REPEATED.sub(r"\1" * n, lower) for n in times)
        return next((w for w in shorter if lexicon.pronounce(w)), _REPEATED.sub(r"\1", lower))
    return word if re.search(r"[aeiouy]", lower) else _letters(stem) + apostrophe + ending


def _capitals(word: str) -> str:
    lower = word.lower()
    readable = lexicon.known(lower) or (len(word) > 5 and re.search(r"[AEIOUY]", word))
    return word if readable and lower not in forms.SPELT else _letters(word)


def _letters(word: str) -> str:
    return " ".join(word.upper())
