import dataclasses

import numpy as np
import pytest

from facespeak_jax.data.examples.phonemes import padded, tokens
from facespeak_jax.data.schema import BadExample
from facespeak_jax.speech.text import SYMBOLS
from tests import synthetic


@pytest.fixture(scope="module")
def clip():
    return synthetic.clip(0, 0, frames=16, size=16)


def test_tokens_are_places_among_the_symbols(clip):
    found = tokens(clip, len(clip.symbols))
    assert [SYMBOLS[token] for token in found] == list(clip.symbols)
    longer = padded(found, 20)
    np.testing.assert_array_equal(longer[: len(found)], found)
    assert longer.shape == (20,)
    assert not longer[len(found) :].any()


@pytest.mark.parametrize(
    ("phonemes", "message"),
    [("", "no phonemes"), ("<bos> HH AH0 <eos>", "4 phonemes, limit 3"), ("HH QQ", "'QQ'")],
)
def test_what_cannot_be_learned_from_is_refused(clip, phonemes, message):
    with pytest.raises(BadExample, match=message):
        tokens(dataclasses.replace(clip, phonemes=phonemes), 3)
