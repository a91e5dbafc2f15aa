"""Other light and other surroundings, and a person who stays."""

import numpy as np

from facespeak_jax.data.examples.disguise import colour_change, elsewhere


def test_colour_change_of_no_strength_is_none():
    matrix, shift = colour_change(np.random.default_rng(0), 0.0)
    np.testing.assert_allclose(matrix, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(shift, 0, atol=1e-12)


def test_grey_stays_grey_under_a_turn_of_hue():
    rng = np.random.default_rng(1)
    for _ in range(5):
        matrix, _ = colour_change(rng, 1.0)
        red, green, blue = matrix @ np.full(3, 0.5)
        # Only the white balance, 6 % at most a channel, may tint it.
        assert max(red, green, blue) / min(red, green, blue) < 1.06 / 0.94 + 0.02


def test_elsewhere_keeps_the_head_and_nothing_of_the_corners():
    rng = np.random.default_rng(0)
    pictures = rng.uniform(size=(2, 64, 64, 3)).astype(np.float32)
    one, other = (elsewhere(picture, np.random.default_rng(5)) for picture in pictures)
    np.testing.assert_allclose(one[20:44, 22:42], pictures[0][20:44, 22:42], atol=1e-6)
    for corner in (np.s_[:6, :6], np.s_[:6, -6:], np.s_[-6:, :6], np.s_[-6:, -6:]):
        np.testing.assert_allclose(one[corner], other[corner], atol=1e-6)
    assert one.min() >= 0
    assert one.max() <= 1
