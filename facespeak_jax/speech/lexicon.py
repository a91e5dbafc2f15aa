"""How a written English word sounds: the dictionary, the words derived from it, and compounds.

A pronunciation is a tuple of ARPAbet phones with a stress digit on every vowel, e.g. ("HH", "AH0", "L", "OW1").
Source of the dictionary: the CMU Pronouncing Dictionary (data/LICENSE.cmudict); `data/additions.txt` is our own.
"""

import lzma
from functools import cache
from importlib import resources

Pronunciation = tuple[str, ...]

VOWELS = ("AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW")
CONSONANTS = (
    *("B", "CH", "D", "DH", "F", "G", "HH", "JH", "K", "L", "M", "N"),
    *("NG", "P", "R", "S", "SH", "T", "TH", "V", "W", "Y", "Z", "ZH"),
)
PHONES = tuple(sorted((*(v + stress for v in VOWELS for stress in "012"), *CONSONANTS)))

_SIBILANTS = frozenset({"S", "Z", "SH", "ZH", "CH", "JH"})
_VOICELESS = frozenset({"P", "T", "K", "F", "TH"})
_PREFIXES = {
    "anti": "AE2 N T IY0",
    "counter": "K AW2 N T ER0",
    "cyber": "S AY2 B ER0",
    "dis": "D IH0 S",
    "hyper": "HH AY2 P ER0",
    "inter": "IH2 N T ER0",
    "mega": "M EH2 G AH0",
    "micro": "M AY2 K R OW0",
    "mis": "M IH0 S",
    "multi": "M AH2 L T IY0",
    "non": "N AA2 N",
    "over": "OW2 V ER0",
    "pre": "P R IY0",
    "pro": "P R OW0",
    "re": "R IY0",
    "semi": "S EH2 M IY0",
    "sub": "S AH2 B",
    "super": "S UW2 P ER0",
    "ultra": "AH2 L T R AH0",
    "un": "AH0 N",
    "under": "AH2 N D ER0",
}
_SUFFIXES = {
    "able": "AH0 B AH0 L",
    "ful": "F AH0 L",
    "hood": "HH UH2 D",
    "ish": "IH0 SH",
    "less": "L AH0 S",
    "like": "L AY2 K",
    "ly": "L IY0",
    "ment": "M AH0 N T",
    "ness": "N AH0 S",
    "ship": "SH IH2 P",
    "wise": "W AY2 Z",
}
_CLITICS = {
    "n't": "AH0 N T",
    "'ll": "AH0 L",
    "'ve": "AH0 V",
    "'re": "ER0",
    "'d": "D",
    "'m": "M",
    "'": "",
}
_BRITISH = (
    ("our", "or"),
    ("is", "iz"),
    ("ys", "yz"),
    ("ogue", "og"),
    ("tre", "ter"),
    ("ae", "e"),
    ("oe", "e"),
)


def read_data(name: str) -> bytes:
    """The bytes of a file shipped in speech/data."""
    return (resources.files("facespeak_jax.speech") / "data" / name).read_bytes()


@cache
def dictionary() -> dict[str, str]:
    """Word -> its pronunciations joined by "|", the commonest first (about 126,000 words, 0.1 s)."""
    cmu = lzma.decompress(read_data("cmudict.txt.xz")).decode("ascii")
    own = read_data("additions.txt").decode("ascii")
    entries = dict(line.split("|", 1) for line in cmu.splitlines())
    entries.update(line.split("|", 1) for line in own.splitlines())
    return entries


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
    """The pronunciation of a lower-case word (letters and apostrophes) by dictionary or derivation, else None."""
    return _listed(word) or _inflected(word) or _affixed(word) or _british(word) or _compound(word)


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


def _affixed(word: str) -> Pronunciation | None:
    for prefix, sound in _PREFIXES.items():
        rest = word[len(prefix) :]
        if (
            word.startswith(prefix)
            and len(rest) > 3
            and (stem := _listed(rest) or _inflected(rest))
        ):
            return (*sound.split(), *stem)
    for suffix, sound in _SUFFIXES.items():
        for stem_word in _stems(word, suffix):
            if len(stem_word) > 3 and (stem := _listed(stem_word)):
                return (*stem, *sound.split())
    return None


def _british(word: str) -> Pronunciation | None:
    for british, american in _BRITISH:
        at = word.rfind(british)
        if at > 1:
            respelt = word[:at] + american + word[at + len(british) :]
            if found := _listed(respelt) or _inflected(respelt):
                return found
    return None


def _compound(word: str) -> Pronunciation | None:
    """Two dictionary words of at least four letters each; the second loses its primary stress."""
    splits = sorted(range(4, len(word) - 3), key=lambda at: abs(2 * at - len(word)))
    for at in splits:
        first, second = _listed(word[:at]), _listed(word[at:]) or _inflected(word[at:])
        if first and second:
            return (*first, *(phone.replace("1", "2") for phone in second))
    return None
