"""How a written English word sounds: the dictionary, its inflections and its compounds.

A pronunciation is a tuple of ARPAbet phones with a stress digit on every vowel, like ("HH", "AH0",
"L", "OW1"). The dictionary is the CMU Pronouncing Dictionary (data/LICENSE.cmudict);
`data/additions.txt` is our own.
"""

import lzma
from functools import cache
from importlib import resources

from facespeak_jax.speech.tables import words

Pronunciation = tuple[str, ...]

VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
CONSONANTS = (
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N"),
    *("NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH"),
)
PHONES = tuple(sorted((*(v + stress for v in VOWELS for stress in "012"), *CONSONANTS)))

_SIBILANTS = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})
_VOICELESS = frozenset({"P", "T", "K", "F", "TH"})
# Endings that are words by themselves; "thankful" is no compound of "thank" and "full".
_ENDINGS = words("able fully less like ment ness ship wise ally land mann")
_CLITICS = {
    "n't": "AH0 N T",
    "'ll": "AH0 L",
    "'ve": "AH0 V",
    "'re": "ER0",
    "'d": "D",
    "'m": "M",
    "'": "",
}


def read_data(name: str) -> bytes:
    """The bytes of a file shipped in pronunciation/data."""
    return (resources.files("facespeak_jax.speech.pronunciation") / "data" / name).read_bytes()


@cache
def dictionary() -> dict[str, str]:
    """Word -> its pronunciations joined by "|", the commonest first (126,000 words, 0.1 s)."""
    cmu = lzma.decompress(read_data("cmudict.txt.xz")).decode("ascii")
    own = read_data("additions.txt").decode("ascii")
    lines = (cmu + own).splitlines()  # our own come last and win
    return {word: sounds for word, _, sounds in (line.partition("|") for line in lines)}


def known(word: str) -> bool:
    """Whether the dictionary itself lists the (lower-case) word."""
    return word in dictionary()


def variants(word: str) -> list[Pronunciation]:
    """Every pronunciation the dictionary lists for the word; empty when it is not there."""
    entry = dictionary().get(word)
    return [tuple(item.split()) for item in entry.split("|")] if entry else []


def letter(name: str) -> Pronunciation:
    """The name of one letter of the alphabet: "b" -> B IY1."""
    return variants(name + ".")[0]


@cache
def pronounce(word: str) -> Pronunciation | None:
    """The sound of a lower-case word the dictionary lists, itself or its stem, else None."""
    return _listed(word) or _inflected(word)


def plural(stem: Pronunciation) -> Pronunciation:
    """The stem with the sound of a plural or possessive -s."""
    if stem[-1] in _SIBILANTS:
        return (*stem, "AH0", "Z")
    return (*stem, "S" if stem[-1] in _VOICELESS else "Z")


def past(stem: Pronunciation) -> Pronunciation:
    """The stem with the sound of a regular -ed."""
    if stem[-1] in ("T", "D"):
        return (*stem, "IH0", "D")
    return (*stem, "T" if stem[-1] in _VOICELESS or stem[-1] in ("S", "SH", "CH") else "D")


def _listed(word: str) -> Pronunciation | None:
    found = variants(word)
    return found[0] if found else None


def _stems(word: str, ending: str) -> list[str]:
    """Spellings a regular ending may have come from: hop-p-ing, hop(e)-ing, cr(y)-ied."""
    if not word.endswith(ending) or len(word) - len(ending) < 2:
        return []
    base = word[: -len(ending)]
    stems = [base, base + "e"]
    if len(base) > 3 and base[-1] == base[-2] and base[-1] not in "aeiouls":
        stems.insert(0, base[:-1])
    elif len(base) > 3 and base[-1] == base[-2]:
        stems.append(base[:-1])
    if base.endswith("i") and ending != "ing":
        stems.insert(0, base[:-1] + "y")
    return stems


def _inflected(word: str) -> Pronunciation | None:
    if word.endswith("'s"):
        stem = pronounce(word[:-2])
        return stem and plural(stem)
    for clitic, sound in _CLITICS.items():
        if word.endswith(clitic):
            stem = pronounce(word[: -len(clitic)])
            return stem and (*stem, *sound.split())
    endings = {
        "s": plural,
        "es": plural,
        "ed": past,
        "ing": lambda stem: (*stem, "IH0", "NG"),
        "er": lambda stem: (*stem, "ER0"),
        "ers": lambda stem: (*stem, "ER0", "Z"),
        "est": lambda stem: (*stem, "IH0", "S", "T"),
    }
    for ending, add in endings.items():
        if ending == "s" and word.endswith(("ss", "us", "is")):
            continue
        for stem in _stems(word, ending):
            if len(stem) > 2 and (found := _listed(stem)):
                return add(found)
    return None


def compound(word: str) -> Pronunciation | None:
    """Two common words of at least four letters in one; the second loses its primary stress."""
    splits = sorted(range(4, len(word) - 3), key=lambda at: abs(2 * at - len(word)))
    for at in splits:
        first, second = word[:at], word[at:]
        if second in _ENDINGS or not _common(first):
            continue
        inflected = _inflected(second)
        if _common(second) or (inflected and not known(second)):
            tail = _listed(second) or inflected or ()
            return (*variants(first)[0], *(phone.replace("1", "2") for phone in tail))
    return None


def _common(word: str) -> bool:
    """Whether the dictionary lists the word with a verb form and with -s; surnames have none."""
    stems = (word, word.removesuffix("e"), word + word[-1])
    verbs = (stem + ending for stem in stems for ending in ("ing", "ed"))
    return known(word) and known(word + "s") and any(map(known, verbs))
