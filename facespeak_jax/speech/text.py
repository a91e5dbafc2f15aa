"""English text to the phoneme symbols every spoken part of the project reads."""

import re

import numpy as np
from jaxtyping import Int32

from facespeak_jax.errors import EmptyText, NothingToPronounce, UnknownSymbol
from facespeak_jax.speech.normalization.normalize import normalize
from facespeak_jax.speech.normalization.punctuation import TOKEN
from facespeak_jax.speech.pronunciation import g2p, lexicon
from facespeak_jax.speech.pronunciation.heteronyms import Context, connected, disambiguate

PAD, BOS, EOS, BOUNDARY = "<pad>", "<bos>", "<eos>", " "
PUNCTUATION = (",", ".", "?", "!", ";", ":", "—", "…", '"')
SYMBOLS: tuple[str, ...] = (PAD, BOS, EOS, BOUNDARY, *PUNCTUATION, *lexicon.PHONES)

_INDEX = {symbol: index for index, symbol in enumerate(SYMBOLS)}


class TextFrontEnd:
    """Turns English text into phonemes: `normalize` -> `phonemize` -> `encode`.

    Any word may be given by its sound in braces, ARPAbet or IPA: "I am {HH EH1 L EH0 N AA0}."
    There is no state; the dictionary is read on the first call.
    """

    symbols = SYMBOLS

    def normalize(self, text: str) -> str:
        """The text as words and pause marks only. Raises EmptyText, NothingToPronounce."""
        if not text.strip():
            raise EmptyText
        spoken = normalize(text)
        if not re.search(r"[A-Za-z]", spoken):
            raise NothingToPronounce(text)
        return spoken

    def phonemize(self, text: str) -> list[str]:
        """The symbols of the text, "<bos>" first and "<eos>" last, words parted by " ".

        Pause marks follow the word before them; an opening quotation mark follows the boundary.
        Raises EmptyText, NothingToPronounce, UnknownSymbol (braces without a pronunciation).
        """
        tokens = TOKEN.findall(self.normalize(text))
        sounds = _sounds(tokens)
        symbols, parted, quoted = [BOS], True, False
        for token, sound in zip(tokens, sounds, strict=True):
            opening = token == '"' and not quoted
            if (sound or opening) and not parted:
                symbols.append(BOUNDARY)
            symbols.extend(sound or [token])
            parted, quoted = opening, quoted != (token == '"')
        return [*symbols, EOS]

    def encode(self, text: str) -> Int32[np.ndarray, " l"]:
        """Indices into SYMBOLS of `phonemize(text)`."""
        return np.array([_INDEX[symbol] for symbol in self.phonemize(text)], np.int32)

    def decode(self, indices: Int32[np.ndarray, " l"]) -> list[str]:
        """The symbols at the indices. Raises UnknownSymbol for an index outside SYMBOLS."""
        if len(indices) and not 0 <= min(indices) <= max(indices) < len(SYMBOLS):
            raise UnknownSymbol(f"Indices must be 0 to {len(SYMBOLS) - 1}.")
        return [SYMBOLS[index] for index in indices]


def _sounds(tokens: list[str]) -> list[lexicon.Pronunciation | None]:
    """The phones of every token; None for a pause mark."""
    sounds: list[lexicon.Pronunciation | None] = [None] * len(tokens)
    for at in reversed(range(len(tokens))):  # the sound of "the" depends on the word after it
        if tokens[at] in PUNCTUATION:
            continue
        after = sounds[at + 1] if at + 1 < len(tokens) else None
        sounds[at] = _pronounce(tokens, at, after)
    return sounds


def _pronounce(
    tokens: list[str], at: int, after: lexicon.Pronunciation | None
) -> lexicon.Pronunciation:
    token = tokens[at]
    if token[0] == "{":
        return tuple(token[1:-1].split())
    word = token.lower()
    if named := _letter(tokens, at):
        return named
    before_that, before, following = (_word(tokens, at + step) for step in (-2, -1, 1))
    capital = token[0].isupper() and before != ""
    context = Context(word, before, following, before_that, capital)
    chosen = disambiguate(context) or connected(word, after)
    return chosen or lexicon.pronounce(word) or _guess(word)


def _guess(word: str) -> lexicon.Pronunciation:
    """An unlisted word: a compound where the spelling model nearly agrees, else what that says."""
    guess, split = g2p.pronounce(word), lexicon.compound(word)
    plain = [tuple(p.rstrip("012") for p in sound) for sound in (guess, split or ())]
    return split if split and g2p.edits(*plain) <= 2 else guess


def _word(tokens: list[str], at: int) -> str:
    """The neighbour in lower case; "" beyond the text and at a pause mark."""
    token = tokens[at].lower() if 0 <= at < len(tokens) else ""
    return "" if token in PUNCTUATION else token


def _letter(tokens: list[str], at: int) -> lexicon.Pronunciation | None:
    """The name of a letter that stands alone ("B", "D's"); the article "a" is no letter."""
    name, _, ending = tokens[at].partition("'")
    if len(name) != 1 or ending not in ("", "s"):
        return None
    before, after = (tokens[i] if 0 <= i < len(tokens) else "." for i in (at - 1, at + 1))
    alone = before in PUNCTUATION and not (len(after) == 1 and after.isupper())
    if not ending and (name == "a" or (name == "A" and alone and after not in PUNCTUATION)):
        return ("AH0",)
    sound = lexicon.letter(name.lower())
    return lexicon.plural(sound) if ending else sound
