"""Modulated convolution against a kernel per image; the resizings against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.signal import correlate

from facespeak_jax.face.convolution import (
    ModulatedConv,
    ResidualDown,
    depth_to_planes,
    double,
    halve,
    space_to_depth,
)


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("demodulate", [True, False])
def test_modulation_equals_a_kernel_per_image(kernel, demodulate):
    x, style = normal(3, 6, 5, 4), normal(3, 7, seed=1)
    module = ModulatedConv(width=5, kernel=kernel, demodulate=demodulate)
    params = jax.jit(module.init)(jax.random.key(0), x, style)
    params["params"]["bias"] = normal(5, seed=2)
    got = jax.jit(module.apply)(params, x, style)

    p = jax.tree.map(lambda leaf: np.array(leaf).astype(np.float64), params["params"])
    for index in range(3):
        scale = np.asarray(style)[index] @ p["scale"]["kernel"] + p["scale"]["bias"]
        own = p["kernel"] * scale[None, None, :, None]
        if demodulate:
            own = own / np.sqrt((own**2).sum((0, 1, 2)) + 1e-8)
        for out in range(5):
            planes = [
                correlate(
                    np.asarray(x)[index, :, :, c].astype(np.float64), own[:, :, c, out], mode="same"
                )
                for c in range(4)
            ]
            expected = sum(planes) + p["bias"][out]
            np.testing.assert_allclose(got[index, :, :, out], expected, atol=2e-5)


def test_demodulated_output_has_unit_variance():
    x, style = normal(2, 32, 32, 16), 3 * normal(2, 8, seed=1)
    module = ModulatedConv(width=16)
    y = jax.jit(module.init_with_output)(jax.random.key(0), x, style)[0]
    assert 0.8 < float(np.std(y[:, 1:-1, 1:-1])) < 1.2


@pytest.fixture(params=["cpu", "tpu"])
def platform(request, monkeypatch):
    """Has what is written for a TPU run here."""
    if request.param == "tpu":
        monkeypatch.setattr(jax.lax, "platform_dependent", lambda *x, tpu, default: tpu(*x))
    return request.param


@pytest.mark.parametrize("axes", [(1, 2), (2, 3), (0, 3)])
def test_double_is_the_bilinear_resize(platform, axes):
    x = normal(2, 5, 3, 4)
    shape = [2 * n if axis in axes else n for axis, n in enumerate(x.shape)]
    expected = jax.image.resize(x, shape, "bilinear")
    np.testing.assert_allclose(double(x, axes), expected, atol=1e-6)


def test_halve_is_the_mean_of_each_block(platform):
    x = normal(2, 6, 8, 3)
    expected = sum(x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4
    np.testing.assert_allclose(halve(x), expected, atol=1e-6)


def test_halve_undoes_double_of_a_constant_and_keeps_the_mean(platform):
    x = normal(2, 6, 8, 3)
    np.testing.assert_allclose(np.mean(halve(x), (1, 2)), x.mean((1, 2)), atol=1e-6)
    np.testing.assert_allclose(halve(double(0 * x + 2.5)), 0 * x + 2.5, atol=1e-6)


def test_pixels_into_channels_and_back(platform):
    x = normal(2, 8, 12, 3)
    deep = space_to_depth(x, 4)
    assert deep.shape == (2, 2, 3, 48)
    np.testing.assert_array_equal(depth_to_planes(deep, 4), x.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(deep[1, 1, 2], x[1, 4:8, 8:12].reshape(-1))


def test_residual_block_halves_and_keeps_the_scale():
    x = normal(2, 16, 16, 8)
    module = ResidualDown(width=12)
    y = jax.jit(module.init_with_output)(jax.random.key(1), x)[0]
    assert y.shape == (2, 8, 8, 12)
    assert 0.2 < float(np.std(y)) < 2.0
