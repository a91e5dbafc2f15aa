"""The kernels, run without a TPU, against the row gather; and where they are used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractDevice, AbstractMesh

from configs import base
from facespeak_jax.face import warp as warping
from facespeak_jax.face.kernels import maps, pictures
from facespeak_jax.face.kernels.sample import backward, forward
from facespeak_jax.face.warp import warp

GATHER = warping._gather
# b, t, h, w, c: whole pictures in a tile, several tiles, rows narrower and wider than a register.
SHAPES = [(2, 3, 8, 8, 16), (1, 2, 32, 32, 12), (1, 1, 16, 128, 12), (2, 2, 16, 128, 3)]


def scene(b, t, h, w, c, reach, dtype=jnp.float32):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(b, h, w, c))
    shift = rng.uniform(-reach, reach, size=(2, b, t, h, w))
    x = np.clip(np.arange(w) + shift[0] * w, 0, w - 1)
    y = np.clip(np.arange(h)[:, None] + shift[1] * h, 0, h - 1)
    slope = rng.normal(size=(b, t, h, w, c))
    return jnp.asarray(features, dtype), jnp.float32(x), jnp.float32(y), jnp.asarray(slope, dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reach", [0.0, 0.3])
def test_samples_and_gradients_are_those_of_the_gather(shape, reach):
    features, x, y, slope = scene(*shape, reach)
    wanted, transposed = jax.vjp(GATHER, features, x, y)
    found = forward(features, x, y, interpret=True)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    if not reach:
        np.testing.assert_array_equal(found, jnp.broadcast_to(features[:, None], found.shape))
    gradients = backward(GATHER, features, x, y, slope, interpret=True)
    for one, other in zip(gradients, transposed(slope), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5 * max(1, float(jnp.abs(other).max())))


def test_halves_are_as_exact_as_bfloat16_is():
    features, x, y, slope = scene(1, 2, 16, 16, 16, 0.2, jnp.bfloat16)
    wanted = GATHER(features.astype(jnp.float32), x, y)
    found = forward(features, x, y, interpret=True)
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(jnp.float32), wanted, atol=0.04)
    of_features, of_x, _ = backward(GATHER, features, x, y, slope, interpret=True)
    assert (of_features.dtype, of_x.dtype) == (jnp.bfloat16, jnp.float32)


@pytest.mark.parametrize("shape", [SHAPES[0], SHAPES[3]])
def test_a_flow_that_is_no_number_ends_all_the_same(shape):
    features, x, y, _ = scene(*shape, 0.1)
    found = forward(features, x, jnp.full_like(y, jnp.nan), interpret=True)
    assert found.shape == (*x.shape, shape[-1])


def test_every_scale_of_base_fits():
    given = base.MODEL["generator"]
    for level, width in enumerate(given["widths"]):
        assert maps.fits((2, 8 * 2**level, 8 * 2**level, width))
    for size in (base.MODEL["size"], 512):
        assert pictures.fits((2, size, size, 3))
    assert not maps.fits((2, 9, 7, 4))
    assert not pictures.fits((2, 64, 64, 3))


def lowered(function, *arguments):
    """The program a TPU would be given."""
    chip = AbstractDevice(device_kind="TPU v5 lite", num_cores=1, platform="tpu")
    with jax.sharding.use_abstract_mesh(AbstractMesh((1,), ("data",), abstract_device=chip)):
        return jax.jit(function).trace(*arguments).lower(lowering_platforms=("tpu",)).as_text()


@pytest.mark.parametrize(
    ("shape", "kernels"), [(SHAPES[0], 3), (SHAPES[3], 2), ((1, 1, 9, 7, 4), 0)]
)
def test_on_a_tpu_the_kernels_are_used_where_they_fit(shape, kernels):
    features, x, y, slope = scene(*shape, 0.1)
    flow = jnp.stack([x, y], axis=-1) / 16

    def loss(features, flow):
        return (warp(features, flow, "kernel") * slope).sum()

    learned = 1 if shape[-1] == 3 else (0, 1)
    text = lowered(jax.value_and_grad(loss, learned), features, flow)
    assert text.count("tpu_custom_call") == kernels
    # Nobody asks for a photograph's gradient, so nothing is left of the scatter that would make it.
    assert ("stablehlo.gather" in text) == ("stablehlo.scatter" in text) == (not kernels)


def test_elsewhere_it_is_the_gather():
    features, x, y, _ = scene(*SHAPES[0], 0.2)
    flow = jnp.stack([x, y], axis=-1) / 16

    def both(method):
        return jax.value_and_grad(lambda *given: jnp.square(warp(*given, method)).sum(), (0, 1))(
            features, flow
        )

    for one, other in zip(*map(jax.tree.leaves, (both("kernel"), both("gather"))), strict=True):
        np.testing.assert_array_equal(one, other)
