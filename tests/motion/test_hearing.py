import jax.numpy as jnp
import pytest

from facespeak_jax.motion import hearing

SHAPE = (2, 8, 3)
FEATURES, PRIOR, MEL = jnp.full(SHAPE, 1.0), jnp.full(SHAPE, 2.0), jnp.full(SHAPE, 3.0)
ENERGY = jnp.full((2, 8), 4.0)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (hearing.EVERYTHING, (1, 2, 4)),
        (("text", "prior"), (1, 2, 0)),
        (("prior",), (0, 2, 0)),
        (hearing.SOUND, (0, 3, 4)),
        ((), (0, 0, 0)),
    ],
)
def test_what_is_not_named_is_silent(names, expected):
    found = hearing.heard(names, FEATURES, PRIOR, MEL, ENERGY)
    assert [float(x.mean()) for x in found] == list(expected)
    assert [x.shape for x in found] == [SHAPE, SHAPE, (2, 8)]


def test_other_names():
    with pytest.raises(ValueError, match="smell"):
        hearing.heard(("smell",), FEATURES, PRIOR, MEL, ENERGY)
