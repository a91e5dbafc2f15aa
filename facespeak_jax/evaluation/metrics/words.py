"""Word and character error rates after both texts are brought to one spelling."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from facespeak_jax.speech.normalization.normalize import normalize

# What a listener cannot tell apart, and recognisers write either way.
_SAME = {
    "mister": "mr",
    "missus": "mrs",
    "doctor": "dr",
    "okay": "ok",
    "alright": "all right",
    "cannot": "can not",
    "grey": "gray",
    "colour": "color",
    "honour": "honor",
    "favourite": "favorite",
    "neighbour": "neighbor",
    "theatre": "theater",
    "centre": "center",
    "travelled": "traveled",
    "realise": "realize",
    "yoghurt": "yogurt",
    "organise": "organize",
}


class Errors(NamedTuple):
    """Edits that turn what was said into what was heard, and the length of what was said."""

    edits: int
    length: int

    @property
    def rate(self) -> float:
        """Edits per unit of the reference; of an empty reference, 0 if nothing was heard."""
        return self.edits / self.length if self.length else float(self.edits > 0)


def spelled(text: str) -> list[str]:
    """The words of a text as they are spoken: numbers written out, no case, no punctuation.

    The project's own normaliser reads numbers, money, dates and abbreviations.
    """
    plain = normalize(re.sub(r"[{}]", " ", text)).lower()
    words = re.sub(r"[^a-z' ]+", " ", plain.replace("-", " ")).replace("'", "").split()
    return " ".join(_SAME.get(word, word) for word in words).split()


def word_errors(said: str, heard: str) -> Errors:
    """Word edits of a transcript; WER of many clips is the sum of edits over the sum of lengths."""
    reference, found = spelled(said), spelled(heard)
    return Errors(distance(reference, found), len(reference))


def character_errors(said: str, heard: str) -> Errors:
    """Character edits of a transcript, words separated by one space."""
    reference, found = " ".join(spelled(said)), " ".join(spelled(heard))
    return Errors(distance(reference, found), len(reference))


def distance(reference: Sequence[str], found: Sequence[str]) -> int:
    """The fewest substitutions, insertions and deletions between two sequences (Levenshtein)."""
    row = np.arange(len(found) + 1)
    for index, item in enumerate(reference, 1):
        substituted = row[:-1] + np.array([item != other for other in found], dtype=int)
        best = np.minimum(np.append(index, substituted), np.append(index, row[1:] + 1))
        # Insertions run along the row: the least of best[j] + (i − j) over j ≤ i.
        steps = np.arange(len(best))
        row = np.minimum.accumulate(best - steps) + steps
    return int(row[-1])
