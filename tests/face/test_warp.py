"""The warp against scipy's map_coordinates, its identities, and its gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import map_coordinates

from facespeak_jax.face.warp import warp, warp_by_spline

METHODS = ("gather", "tent")


def scene(b=2, t=3, h=9, w=7, c=4, reach=0.4, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(b, h, w, c)).astype(np.float32)
    flow = rng.uniform(-reach, reach, size=(b, t, h, w, 2)).astype(np.float32)
    return jnp.asarray(features), jnp.asarray(flow)


def reference(features, flow, order=1):
    features, flow = np.asarray(features), np.asarray(flow)
    b, t, h, w, _ = flow.shape
    out = np.empty((b, t, h, w, features.shape[-1]))
    for i in range(b):
        for j in range(t):
            rows = np.arange(h)[:, None] + flow[i, j, :, :, 1].astype(np.float64) * h
            columns = np.arange(w)[None, :] + flow[i, j, :, :, 0].astype(np.float64) * w
            for k in range(features.shape[-1]):
                plane = features[i, :, :, k].astype(np.float64)
                out[i, j, :, :, k] = map_coordinates(
                    plane, [rows, columns], order=order, mode="nearest"
                )
    return out


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reach", [0.05, 0.4, 3.0])
def test_agrees_with_scipy_inside_and_beyond_the_border(method, reach):
    features, flow = scene(reach=reach)
    np.testing.assert_allclose(warp(features, flow, method), reference(features, flow), atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_zero_flow_is_exactly_identity(method):
    features, flow = scene()
    out = warp(features, jnp.zeros_like(flow), method)
    np.testing.assert_array_equal(out, np.broadcast_to(features[:, None], out.shape))


@pytest.mark.parametrize("method", METHODS)
def test_whole_pixel_flow_shifts(method):
    features, flow = scene(h=8, w=8)
    flow = jnp.zeros_like(flow).at[..., 0].set(2 / 8)
    out = np.asarray(warp(features, flow, method))
    np.testing.assert_allclose(out[:, 0, :, :6], features[:, :, 2:], atol=1e-6)
    np.testing.assert_allclose(out[:, 0, :, 7], features[:, :, 7], atol=1e-6)


def test_each_picture_is_read_by_itself():
    """Else a batch that is split over devices would have to be gathered on all of them."""
    both = jax.jit(jax.grad(lambda f, x: warp(f, x).sum(), (0, 1)))
    text = both.lower(*scene()).as_text()
    reads = [line for line in text.splitlines() if "stablehlo.gather" in line]
    writes = [line for line in text.splitlines() if "#stablehlo.scatter<" in line]
    assert len(reads) == 4
    assert writes
    assert all("operand_batching_dims = [0]" in line for line in reads)
    assert all("input_batching_dims = [0]" in line for line in writes)


def test_both_methods_have_the_same_gradients():
    features, flow = scene(reach=0.2)
    aim = np.random.default_rng(1).normal(size=(2, 3, 9, 7, 4)).astype(np.float32)

    def gradients(method):
        return jax.grad(lambda f, v: (warp(f, v, method) * aim).sum(), (0, 1))(features, flow)

    for one, other in zip(gradients("gather"), gradients("tent"), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("method", METHODS)
def test_flow_gradient_is_the_finite_difference(method):
    rng = np.random.default_rng(2)
    b, t, h, w, c = 1, 1, 8, 8, 3
    features = rng.normal(size=(b, h, w, c))
    # Positions 0.2 to 0.8 between pixels: the bilinear surface is smooth there.
    whole = rng.integers(-1, 2, size=(b, t, h, w, 2))
    flow = (whole + rng.uniform(0.2, 0.8, size=whole.shape)) / h
    aim = rng.normal(size=(b, t, h, w, c))
    step = 1e-6

    def loss(v):
        return float((reference64(features, v) * aim).sum())

    source, weight = jnp.asarray(features, jnp.float32), jnp.asarray(aim, jnp.float32)
    got = jax.grad(lambda v: (warp(source, v, method) * weight).sum())(jnp.float32(flow))
    for index in [(0, 0, 3, 4, 0), (0, 0, 5, 2, 1), (0, 0, 4, 4, 0), (0, 0, 2, 6, 1)]:
        up, down = flow.copy(), flow.copy()
        up[index] += step
        down[index] -= step
        expected = (loss(up) - loss(down)) / (2 * step)
        np.testing.assert_allclose(got[index], expected, rtol=2e-3, atol=2e-3)


def reference64(features, flow):
    """The bilinear sum in float64, written as a loop over pixels."""
    _, _, h, w, _ = flow.shape
    out = np.zeros((1, 1, h, w, features.shape[-1]))
    for i in range(h):
        for j in range(w):
            y = np.clip(i + flow[0, 0, i, j, 1] * h, 0, h - 1)
            x = np.clip(j + flow[0, 0, i, j, 0] * w, 0, w - 1)
            for row in {int(np.floor(y)), min(int(np.floor(y)) + 1, h - 1)}:
                for column in {int(np.floor(x)), min(int(np.floor(x)) + 1, w - 1)}:
                    weight = max(0, 1 - abs(y - row)) * max(0, 1 - abs(x - column))
                    out[0, 0, i, j] += weight * features[0, row, column]
    return out


def test_feature_gradient_is_the_transpose():
    """The warp is linear in the features: ⟨warp(f), a⟩ = ⟨f, gradient⟩ for any f and a."""
    features, flow = scene(reach=0.3)
    aim = jnp.asarray(np.random.default_rng(4).normal(size=(2, 3, 9, 7, 4)), jnp.float32)
    out, back = jax.vjp(lambda f: warp(f, flow), features)
    np.testing.assert_allclose((out * aim).sum(), (features * back(aim)[0]).sum(), rtol=1e-4)


def test_one_source_serves_its_frames_and_no_other():
    features, flow = scene(b=3, t=2)
    together = warp(features, flow)
    for index in range(3):
        alone = warp(features[index : index + 1], flow[index : index + 1])
        np.testing.assert_allclose(together[index : index + 1], alone, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reach", [0.02, 0.3])
def test_the_spline_agrees_with_scipy(method, reach):
    """Far from the border, which scipy's spline takes for another one; its trace fades by 0.27."""
    image, flow = scene(h=40, w=36, reach=reach)
    wanted = reference(image, flow, order=3)
    found = warp_by_spline(image, flow, method)
    x = np.arange(36)[None, None, None, :] + 36 * np.asarray(flow)[..., 0]
    y = np.arange(40)[None, None, :, None] + 40 * np.asarray(flow)[..., 1]
    inner = (x > 10) & (x < 25) & (y > 10) & (y < 29)
    assert inner.sum() > 500
    np.testing.assert_allclose(found[inner], wanted[inner], atol=2e-5)


@pytest.mark.parametrize("method", METHODS)
def test_beyond_the_border_the_spline_is_the_edge(method):
    image, flow = scene()
    found = warp_by_spline(image, jnp.full_like(flow, 2.0), method)
    corner = jnp.broadcast_to(image[:, None, -1:, -1:], found.shape)
    np.testing.assert_array_equal(found, corner)


@pytest.mark.parametrize("method", METHODS)
def test_the_spline_leaves_what_does_not_move_as_it_is(method):
    image, flow = scene()
    out = warp_by_spline(image, jnp.zeros_like(flow), method)
    np.testing.assert_array_equal(out, np.broadcast_to(image[:, None], out.shape))


def test_the_spline_meets_a_parabola_that_lines_cut_short():
    """By f(1 - f)/2 of its curvature."""
    place = jnp.arange(40, dtype=jnp.float32) / 40
    image = jnp.broadcast_to(jnp.square(place)[None, None, :, None], (1, 40, 40, 1))
    flow = jnp.zeros((1, 1, 40, 40, 2)).at[..., 0].set(0.3 / 40)
    wanted = jnp.square(place + 0.3 / 40)[15:-15]
    inner = (0, 0, 5, slice(15, -15), 0)
    np.testing.assert_allclose(warp_by_spline(image, flow)[inner], wanted, atol=1e-6)
    off = np.asarray(warp(image, flow)[inner] - wanted)
    np.testing.assert_allclose(off, 0.3 * 0.7 / 2 * 2 / 40**2, atol=1e-6)


def test_the_slope_of_the_spline_is_that_of_their_values():
    """By finite differences, away from the pixels' centres, where the slope jumps."""
    image, flow = scene(b=1, t=1, h=6, w=6, c=2)
    flow = jnp.full_like(flow, 0.4 / 6)
    aim = np.random.default_rng(1).normal(size=(1, 1, 6, 6, 2)).astype(np.float32)

    def value(moved):
        return (warp_by_spline(image, moved) * aim).sum()

    slope = jax.grad(value)(flow)
    for at in [(0, 0, 2, 3, 0), (0, 0, 3, 1, 1)]:
        step = jnp.zeros_like(flow).at[at].set(1e-3)
        found = (value(flow + step) - value(flow - step)) / 2e-3
        np.testing.assert_allclose(slope[at], found, rtol=0.02, atol=1e-3)
