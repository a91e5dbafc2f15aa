"""A clip's phonemes as the numbers a text encoder reads."""

import numpy as np
from jaxtyping import Int32

from facespeak_jax.data.schema import BadExample, Clip
from facespeak_jax.speech.text import SYMBOLS

_TOKEN = {symbol: token for token, symbol in enumerate(SYMBOLS)}


def tokens(clip: Clip, limit: int) -> Int32[np.ndarray, " l"]:
    """The place of each phoneme in SYMBOLS. Raises BadExample if there are none, more than `limit`,
    or unknown ones."""
    symbols = clip.symbols
    if not symbols:
        raise BadExample(f"clip {clip.clip_id!r} has no phonemes")
    if len(symbols) > limit:
        raise BadExample(f"clip {clip.clip_id!r} has {len(symbols)} phonemes, limit {limit}")
    if unknown := set(symbols) - set(_TOKEN):
        raise BadExample(f"clip {clip.clip_id!r} has unknown phonemes {sorted(unknown)}")
    return np.array([_TOKEN[symbol] for symbol in symbols], np.int32)


def padded(values: Int32[np.ndarray, " l"], n: int) -> Int32[np.ndarray, " {n}"]:
    """Numbers of phonemes with zeros behind, `n` in all."""
    return np.pad(values, (0, n - len(values)))
