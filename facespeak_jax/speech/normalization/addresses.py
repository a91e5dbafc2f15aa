"""E-mail and web addresses, handles and hashtags as a speaker reads them out."""

import re

from facespeak_jax.speech.normalization import numbers
from facespeak_jax.speech.normalization import written_forms as forms
from facespeak_jax.speech.normalization.rules import Rules


def rules() -> Rules:
    """E-mail, web addresses, handles, hashtags."""
    return [
        (
            r"\b([\w.+-]+)@((?:[\w-]+\.)+[A-Za-z]{2,})\b",
            lambda m: f" {_address(m[1])} at {_address(m[2])} ",
        ),
        (
            r"\b(?:https?|ftp)://(?:www\.)?([^\s,;\"]*[^\s,;\".?!'])",
            lambda m: f" {_address(m[1])} ",
            re.I,
        ),
        (r"\bwww\.([^\s,;\"]*[^\s,;\".?!'])", lambda m: f" {_address(m[1])} ", re.I),
        (
            r"\b((?:[a-z0-9-]+\.)+(?:com|org|net|edu|gov|io|ai|co|uk|de|fr|eu|us|info|dev|app|tv)(?:/[\w/.-]*\w)?)\b",
            lambda m: f" {_address(m[1])} ",
            re.I,
        ),
        (r"(?<!\w)@(?=\w)", " at "),
        (r"(?<!\w)#(?=\d)", " number "),
        (r"(?<!\w)#(\w+)", lambda m: f" hashtag {m[1].replace('_', ' ')} "),
    ]


def _address(address: str) -> str:
    pieces: list[str] = re.findall(r"[A-Za-z]+|\d+|.", address.rstrip("/"))
    return " ".join(numbers.cardinal(p) if p.isdigit() else forms.ADDRESS.get(p, p) for p in pieces)
