"""The generator's slots, folding, composition and gradients, at a toy size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax.face.generator import Generator, Render, decided, enlarge
from facespeak_jax.face.warp import warp, warp_by_spline

WIDTHS, STYLE, SIZE = (6, 4), 8, 32
LIPS = ("16b", "16flow", "image")


def normal(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def render(generator, params, *inputs):
    return jax.jit(generator.apply)(params, *inputs)


def scene(batch=2, frames=2, **options):
    """The module, parameters drawn so that flows and styles do something, and inputs."""
    image = jnp.tanh(normal(0, batch, SIZE, SIZE, 3))
    pyramid = tuple(normal(1, batch, 8 * 2**k, 8 * 2**k, w) for k, w in enumerate(WIDTHS))
    slots = normal(2, batch, frames, STYLE), normal(3, batch, frames, STYLE)
    inputs = (image, pyramid, normal(4, batch, STYLE), *slots)
    generator = Generator(**{"widths": WIDTHS, "flow_width": 4, "lip_layers": LIPS} | options)
    shapes = jax.eval_shape(generator.init, jax.random.key(0), *inputs)
    params = jax.tree.map(lambda leaf: 0.3 * normal(leaf.size, *leaf.shape), shapes)
    return generator, params, inputs


@pytest.mark.parametrize(("plain", "spline"), [(False, False), (True, False), (False, True)])
def test_shapes_and_composition(plain, spline):
    generator, params, inputs = scene(plain=plain, spline=spline)
    out = render(generator, params, *inputs)
    assert out.image.shape == (2, 2, SIZE, SIZE, 3)
    assert out.flow.shape == (2, 2, SIZE, SIZE, 2)
    assert out.shares.shape == (2, 2, SIZE, SIZE, 3)
    assert float(out.shares.min()) >= 0
    np.testing.assert_allclose(out.shares.sum(-1), 1, atol=1e-6)
    moved, still, painted = (out.shares[..., k, None] for k in range(3))
    assert plain != (float(jnp.std(still)) > 0)  # the toy's parameters use every share
    bent = (warp_by_spline if spline else warp)(inputs[0], out.flow)
    expected = moved * bent + still * inputs[0][:, None] + painted * out.rgb
    np.testing.assert_allclose(out.image, expected, atol=1e-5)
    np.testing.assert_allclose(out.warped, bent, atol=1e-5)


def test_a_decided_pixel_is_more_of_what_it_was_most():
    generator, params, inputs = scene()
    out = render(generator, params, *inputs)
    same = decided(out, inputs[0], 1.0)
    np.testing.assert_allclose(same.image, out.image, atol=1e-5)
    found = decided(out, inputs[0], 2.0)
    moved, still, painted = np.moveaxis(np.square(np.asarray(out.shares, np.float64)), -1, 0)
    total = moved + still + painted
    weights = [x[..., None] / total[..., None] for x in (moved, still, painted)]
    parts = (out.warped, inputs[0][:, None], out.rgb)
    wanted = sum(weight * np.asarray(part) for weight, part in zip(weights, parts, strict=True))
    np.testing.assert_allclose(found.image, wanted, atol=1e-5)
    assert np.all(found.shares.max(-1) >= out.shares.max(-1) - 1e-6)
    for one, other in [(found.flow, out.flow), (found.rgb, out.rgb), (found.warped, out.warped)]:
        np.testing.assert_array_equal(one, other)


def test_a_painted_frame_has_nothing_to_decide():
    generator, params, inputs = scene(plain=True)
    out = render(generator, params, *inputs)
    np.testing.assert_allclose(decided(out, inputs[0], 3.0).image, out.image, atol=1e-6)


def test_enlarging_to_the_same_size_changes_nothing():
    generator, params, inputs = scene()
    out = render(generator, params, *inputs)
    for ours, theirs in zip(enlarge(out, inputs[0]), out, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_enlarging_moves_the_pixels_of_the_finer_picture():
    """A shift by a whole pixel of the finer picture, part of it painted over in one colour."""
    fine = jnp.tanh(normal(7, 1, 3 * SIZE, 3 * SIZE, 3))
    flow = jnp.zeros((1, 1, SIZE, SIZE, 2)).at[..., 0].set(2 / (3 * SIZE))
    shares = jnp.broadcast_to(jnp.array([0.5, 0.25, 0.25]), (1, 1, SIZE, SIZE, 3))
    rgb = jnp.full((1, 1, SIZE, SIZE, 3), 0.4)
    blank = jnp.zeros_like(rgb)
    out = enlarge(Render(blank, flow, shares, rgb, blank), fine)
    moved = jnp.concatenate([fine[:, :, 2:], fine[:, :, -1:], fine[:, :, -1:]], axis=2)
    expected = 0.5 * moved + 0.25 * fine + 0.25 * 0.4
    np.testing.assert_allclose(out.image[:, 0], expected, atol=1e-5)


def test_begins_near_the_photograph():
    generator, _, inputs = scene()
    out = render(generator, jax.jit(generator.init)(jax.random.key(5), *inputs), *inputs)
    assert float(jnp.abs(out.flow).max()) < 0.2
    assert 0.5 < float(out.shares[..., 0].mean()) < 0.9
    assert 0 < float(out.shares[..., 1].mean()) < 0.1


def test_folded_frames_are_the_frames_one_by_one():
    generator, params, inputs = scene()
    image, pyramid, motion, head, lip = inputs
    together = render(generator, params, *inputs)
    for clip in range(2):
        one = slice(clip, clip + 1)
        for frame in range(2):
            alone = render(
                generator,
                params,
                image[one],
                tuple(level[one] for level in pyramid),
                motion[one],
                head[one, frame : frame + 1],
                lip[one, frame : frame + 1],
            )
            for whole, single in zip(together, alone, strict=True):
                np.testing.assert_allclose(whole[clip, frame], single[0, 0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("lips", "silent"), [((), 4), (None, 3)])
def test_a_slot_without_layers_has_no_effect(lips, silent):
    """Of inputs 3 (head slot) and 4 (lip slot) the silent one must not matter, the other must."""
    lips = Generator(widths=WIDTHS).layers() if lips is None else lips
    generator, params, inputs = scene(lip_layers=lips)

    def image(slot, index):
        changed = [*inputs]
        changed[index] = slot
        return generator.apply(params, *changed).image.sum()

    other = 7 - silent
    slope = jax.jit(jax.grad(image), static_argnums=1)
    assert not np.any(slope(inputs[silent], silent))
    assert np.any(slope(inputs[other], other))


def test_each_layer_listens_to_its_own_slot():
    generator, params, inputs = scene()

    @jax.jit
    def styles(head, lip):
        _, state = generator.apply(
            params, *inputs[:3], head, lip, capture_intermediates=True, mutable=["intermediates"]
        )
        tree = state["intermediates"]
        layers = {f"{r}{part}": tree[f"level{r}"][part] for r in (8, 16) for part in ("a", "b")}
        layers |= {f"{r}flow": tree[f"level{r}"]["flow"]["hidden"] for r in (8, 16)}
        layers["image"] = tree["image"]
        return {name: layer["scale"]["__call__"][0] for name, layer in layers.items()}

    before = styles(*inputs[3:])
    after_head, after_lip = styles(inputs[3] + 1, inputs[4]), styles(inputs[3], inputs[4] + 1)
    assert set(before) == set(generator.layers())
    for name, style in before.items():
        assert np.any(style != after_head[name]) == (name not in LIPS), name
        assert np.any(style != after_lip[name]) == (name in LIPS), name


def test_flow_sees_the_motion_of_the_source():
    generator, params, inputs = scene()
    image, pyramid, motion, head, lip = inputs

    def flow(motion):
        return jnp.abs(generator.apply(params, image, pyramid, motion, head, lip).flow).sum()

    assert np.any(jax.jit(jax.grad(flow))(motion))


def test_tent_warps_give_the_same_frames():
    generator, params, inputs = scene()
    tent = generator.clone(tent_below=32)
    one, other = render(tent, params, *inputs), render(generator, params, *inputs)
    np.testing.assert_allclose(one.image, other.image, atol=2e-4)


@pytest.mark.parametrize("plain", [False, True])
def test_gradients_are_finite(plain):
    generator, params, inputs = scene(frames=1, plain=plain)
    loss = jax.jit(jax.grad(lambda p: jnp.square(generator.apply(p, *inputs).image).mean()))
    gradients = loss(params)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradients))
    moved = [bool(jnp.abs(leaf).max() > 0) for leaf in jax.tree.leaves(gradients)]
    assert sum(moved) > 0.8 * len(moved)


def test_unknown_lip_layer_and_wrong_pyramid_raise():
    generator, params, inputs = scene()
    with pytest.raises(ValueError, match="33b"):
        generator.clone(lip_layers=("33b",)).apply(params, *inputs)
    with pytest.raises(ValueError, match="pyramid"):
        generator.apply(params, inputs[0], inputs[1][:1], *inputs[2:])
    with pytest.raises(ValueError, match="power of two"):
        generator.apply(params, jnp.zeros((2, 48, 48, 3)), *inputs[1:])
