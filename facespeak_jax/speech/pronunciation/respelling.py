"""Pronunciations given by the user: ARPAbet phones ("HH AH0 L OW1") or IPA ("həˈloʊ")."""

import re

from facespeak_jax.errors import UnknownSymbol
from facespeak_jax.speech.pronunciation.lexicon import PHONES, VOWELS, Pronunciation
from facespeak_jax.speech.tables import table

_IPA = table(
    "tʃ CH, dʒ JH, ʧ CH, ʤ JH, aɪ AY, aʊ AW, eɪ EY, oʊ OW, əʊ OW, ɔɪ OY, ɜr ER, ɜɹ ER, ər ER, əɹ "
    "ER, ɝ ER, ɚ ER, ɜ ER, ɑ AA, a AA, ɒ AA, æ AE, ʌ AH, ə AH, ɐ AH, ɔ AO, ɛ EH, e EH, ɪ IH, i IY, "
    "ʊ UH, u UW, o OW, b B, d D, ð DH, f F, g G, ɡ G, h HH, k K, l L, ɫ L, m M, n N, ŋ NG, p P, r "
    "R, ɹ R, ɾ D, s S, ʃ SH, t T, θ TH, v V, w W, j Y, z Z, ʒ ZH"
)
_IPA_TOKEN = re.compile("|".join(sorted(_IPA, key=len, reverse=True)) + "|[ˈˌ']")


def respell(written: str) -> Pronunciation:
    """Phones of a pronunciation in ARPAbet or IPA. Raises UnknownSymbol."""
    phones = tuple(written.upper().split())
    if phones and all(phone in PHONES for phone in phones):
        return phones
    return _from_ipa(written.strip()) or _complain(written, phones)


def _from_ipa(written: str) -> Pronunciation | None:
    """A stress mark falls on the next vowel; None when a symbol is unknown or nothing sounds."""
    if written.isascii():
        return None
    stress, phones, at = "0", [], 0
    written = re.sub(r"[ː.\s͡]", "", written)
    while at < len(written):
        match = _IPA_TOKEN.match(written, at)
        if not match:
            return None
        at = match.end()
        if match[0] in "ˈ'ˌ":
            stress = "2" if match[0] == "ˌ" else "1"
            continue
        phone = _IPA[match[0]]
        phones.append(phone + stress if phone in VOWELS else phone)
        stress = "0" if phone in VOWELS else stress
    return tuple(phones) or None


def _complain(written: str, phones: tuple[str, ...]) -> Pronunciation:
    unknown = next((phone for phone in phones if phone not in PHONES), "")
    hint = f"Write {unknown}0, {unknown}1 or {unknown}2. " if unknown in VOWELS else ""
    raise UnknownSymbol(
        f"{{{written[:40]}}} is not a pronunciation: {unknown[:20]!r} is no phone. {hint}"
        "Braces hold ARPAbet phones, as in {HH AH0 L OW1}, or IPA, as in {həˈloʊ}."
    )
