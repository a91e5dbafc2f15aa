"""Titles, abbreviations and initials as the words they stand for."""

import re

from facespeak_jax.speech.normalization import written_forms as forms
from facespeak_jax.speech.normalization.rules import Rules


def rules() -> Rules:
    """Titles, abbreviations, initials. A point that also ends the sentence stays."""
    titles, short = "|".join(forms.TITLES), "|".join(forms.ABBREVIATIONS)
    numbered = "|".join(forms.BEFORE_NUMBER)
    return [
        (r"(?<!\S)[:;]-?[()DP](?!\w)", " "),
        (r"\b([CF])#(?!\w)", r"\1 sharp"),
        (r"\bv(?=\d+\.)", "version "),
        (r"\bw/o\b", "without"),
        (r"\bw/(?=\s|\w)", "with "),
        (rf"\b({titles})\b\.?(?=\s+[A-Z])", lambda m: forms.TITLES[m[1]]),
        (r"\b(Mr|Mrs|Ms)\.", lambda m: forms.TITLES[m[1]]),
        (r"(?<=[A-Za-z] )Dr(?:\.|\b(?!\.))(?!\s+[A-Z])", "Drive"),
        (r"\bDr\b\.?(?=\s*[A-Z])|\bDr\.", "Doctor"),
        (r"(?<=[a-z] )St(?:\.|\b(?!\.))(?!\s*[A-Z][a-z])", "Street"),
        (r"\bSt\b\.?(?=\s+[A-Z])", "Saint"),
        (r"\bSt\.", "Street"),
        (
            rf"\b({numbered})\.\s?(?=\d)",
            lambda m: forms.BEFORE_NUMBER[m[1].lower()] + " ",
            re.I,
        ),
        (r"\b(Co)\.(?=\s|$)" + forms.SENTENCE_END, "Company."),
        (r"\bCo\.", "Company"),
        (rf"\b({short})\.{forms.SENTENCE_END}", lambda m: forms.ABBREVIATIONS[m[1]] + "."),
        (rf"\b({short})\.(?!\w)", lambda m: forms.ABBREVIATIONS[m[1]]),
        (r"\b(Sun|Sat|Wed|Mar)\.(?=,|\s+[a-z\d])", lambda m: forms.WITHIN_SENTENCE[m[1]]),
        (r"\bvs\b", "versus"),
        (
            rf"\b((?:[A-Za-z]\.){{2,}}|[Pp]h\.[Dd]\.){forms.SENTENCE_END}",
            lambda m: _initials(m[1]) + ".",
        ),
        (r"\b((?:[A-Za-z]\.){2,}|[Pp]h\.[Dd]\.)(?!\w)", lambda m: _initials(m[1])),
        (r"\b([A-Za-z](?:\.[A-Za-z])+)\b", lambda m: _initials(m[1] + ".")),
        (
            rf"(?<![A-Z] )\b(?!I\.)((?:[A-Z]\.[ ]?)+)(?=[A-Z][a-z])(?!{forms.STARTERS})",
            lambda m: _initials(m[1]) + " ",
        ),
    ]


def _initials(dotted: str) -> str:
    return forms.INITIALS.get(dotted.lower()) or " ".join(c.upper() for c in dotted if c.isalpha())
