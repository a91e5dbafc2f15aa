import numpy as np
import pytest

from facespeak_jax.data.heads.units import ARKIT, UNIT
from facespeak_jax.data.heads.visemes import (
    BILABIAL,
    LABIODENTAL,
    SHAPES,
    lip_opening,
    opening_of,
    viseme_units,
)
from facespeak_jax.speech.pronunciation.lexicon import PHONES


def spoken(text, lengths=None):
    """Symbols between long silences, 8 mel frames each unless told."""
    symbols = ["<bos>", *text.split(), "<eos>"]
    durations = np.array([24, *(lengths or [8] * (len(symbols) - 2)), 24], np.int32)
    durations[-1] += -durations.sum() % 4
    return symbols, durations


def middle(durations, position):
    """The video frame in the middle of a symbol."""
    return int((durations[:position].sum() + durations[position] / 2) // 4)


def test_every_phone_has_a_shape():
    assert {phone.rstrip("012") for phone in PHONES} == set(SHAPES)


@pytest.mark.parametrize("phone", BILABIAL)
@pytest.mark.parametrize("length", [1, 2, 3, 5, 9, 16])
@pytest.mark.parametrize("offset", range(4))
def test_lips_close_however_short_the_sound_is(phone, length, offset):
    symbols, durations = spoken(f"AA1 {phone} AE1", [13 + offset, length, 12])
    gap = lip_opening(symbols, durations)
    at = middle(durations, 2)
    assert gap[at - 1 : at + 2].min() == 0
    assert gap[: at - 1].max() > 0.25
    assert gap[at + 2 :].max() > 0.2


@pytest.mark.parametrize("phone", LABIODENTAL)
def test_the_lower_lip_touches_the_teeth(phone):
    symbols, durations = spoken(f"AA1 {phone} AA1", [12, 8, 12])
    units = viseme_units(symbols, durations)
    touch = units[:, UNIT["mouthRollLower"]].argmax()
    assert abs(touch - middle(durations, 2)) <= 1
    assert units[touch, UNIT["mouthRollLower"]] > 0.5
    assert units[touch, UNIT["jawOpen"]] < 0.1
    assert 0.0 < opening_of(units)[touch] < 0.1


def test_open_vowels_open_more_than_close_ones_and_stress_more_than_none():
    def gap(vowel):
        symbols, durations = spoken(f"K {vowel} K", [6, 16, 6])
        return lip_opening(symbols, durations).max()

    assert gap("AA1") > gap("AE1") > gap("EH1") > gap("IH1") > gap("IY1")
    assert gap("AA1") > gap("AA2") > gap("AA0")


def test_rounding_starts_before_the_vowel_and_only_there():
    symbols, durations = spoken("S T UW1 L")
    with_rounding = viseme_units(symbols, durations)
    symbols[3] = "IY1"
    without = viseme_units(symbols, durations)
    at_t = middle(durations, 2)
    pucker = UNIT["mouthPucker"]
    assert with_rounding[at_t, pucker] > 0.2
    assert without[:, pucker].max() < 0.01


def test_pauses_are_closed_and_word_boundaries_are_not():
    symbols, durations = spoken("AA1 , AA1", [12, 40, 12])
    gap = lip_opening(symbols, durations)
    assert gap[0] == gap[-1] == 0
    assert gap[middle(durations, 2)] < 0.02
    symbols[2] = " "
    durations = np.array([24, 12, 4, 12, 24], np.int32)
    assert lip_opening(symbols, durations)[middle(durations, 2)] > 0.2


def test_units_are_bounded_smooth_and_leave_eyes_and_brows_alone():
    rng = np.random.default_rng(0)
    symbols = ["<bos>", *rng.choice(PHONES, 60), "<eos>"]
    durations = rng.integers(2, 15, len(symbols)).astype(np.int32)
    durations[-1] += -durations.sum() % 4
    units = viseme_units(symbols, durations)
    assert units.shape == (durations.sum() // 4, len(ARKIT))
    assert units.min() >= 0
    assert units.max() <= 1
    moved = {ARKIT[k] for k in np.flatnonzero(units.any(axis=0))}
    assert all(name.startswith(("jaw", "mouth", "tongue")) for name in moved)
    # The jaw crosses at most this much of its range in 40 ms.
    assert np.abs(np.diff(units[:, UNIT["jawOpen"]])).max() < 0.45


def test_the_reference_opening_follows_rendered_heads(mesh):
    from facespeak_jax.data.heads.appearance import draw_scene
    from facespeak_jax.data.heads.identity import draw_identity
    from facespeak_jax.data.heads.render import HeadRenderer

    symbols, durations = spoken("B AA1 T   M IY1 T S   F AO1 R   W UW1 D   SH AE1 P")
    units = viseme_units(symbols, durations)
    for seed in (11, 12):
        renderer = HeadRenderer(draw_identity(seed), draw_scene(seed), 16)
        seen = [renderer.render(np.zeros(3), unit).lip_opening for unit in units]
        assert np.corrcoef(seen, lip_opening(symbols, durations))[0, 1] > 0.95
