import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax.motion.lip_mapper import LipMapper, energy

KEY = jax.random.key(0)
SMALL = LipMapper(width=8, stages=1, kernels=(3, 5), dilations=(1, 2))


def inputs(frames, batch=2, width=12):
    keys = jax.random.split(KEY, 4)
    m = 4 * frames
    return (
        jax.random.normal(keys[0], (batch, m, width)),
        jax.random.normal(keys[1], (batch, m, 80)),
        jax.random.normal(keys[2], (batch, m)),
        jax.random.normal(keys[3], (batch, 8)),
    )


def test_energy_is_the_mean_of_the_bins():
    mel = jax.random.normal(KEY, (2, 5, 80))
    np.testing.assert_allclose(energy(mel), np.asarray(mel).mean(-1), atol=1e-6)


def test_reach_is_where_the_gradient_ends():
    frames, at = 24, 12
    given = inputs(frames, batch=1)
    lengths = jnp.array([frames])
    params = jax.jit(SMALL.init)(KEY, *given, lengths)

    def lips(text):
        return SMALL.apply(params, text, *given[1:], lengths)[0, at].sum()

    gradient = jax.jit(jax.grad(lips))(given[0])
    touched = np.flatnonzero(np.abs(np.asarray(gradient[0])).max(-1) > 0)
    assert SMALL.reach == 2 * (1 + 2)
    assert touched.min() == 4 * at - SMALL.reach
    assert touched.max() == 4 * at + 3 + SMALL.reach


def test_reach_of_the_papers_kernels():
    assert LipMapper(stages=1).reach == 5 * (1 + 3 + 5)


def test_the_portraits_mouth_reaches_every_frame():
    given, lengths = inputs(6), jnp.array([6, 6])
    params, apply = jax.jit(SMALL.init)(KEY, *given, lengths), jax.jit(SMALL.apply)
    other = apply(params, *given[:3], given[3] + 1.0, lengths) - apply(params, *given, lengths)
    assert float(jnp.abs(other).max(-1).min()) > 1e-4


def test_padding_never_changes_the_lips():
    part = LipMapper(width=16)
    given = inputs(20)
    lengths = jnp.array([13, 20])
    params, apply = jax.jit(part.init)(KEY, *given, lengths), jax.jit(part.apply)
    bucket = apply(params, *given, lengths)
    alone = apply(params, *(x[:1, : 4 * 13] for x in given[:3]), given[3][:1], lengths[:1])
    np.testing.assert_allclose(bucket[:1, :13], alone, atol=1e-5)
    assert float(jnp.abs(bucket[0, 13:]).max()) == 0.0


def test_part_of_a_video_frame_is_an_error():
    *sequences, source = inputs(5)
    given = (*(x[:, :-1] for x in sequences), source)
    with pytest.raises(ValueError, match="whole number"):
        SMALL.init(KEY, *given, jnp.array([5, 5]))
