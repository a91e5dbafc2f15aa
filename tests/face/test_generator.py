"""The generator's slots, folding, composition and gradients, at a toy size."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax.face.encoder import VisualEncoder
from facespeak_jax.face.generator import Generator
from facespeak_jax.face.warp import warp

WIDTHS, STYLE, SIZE = (8, 6, 4), 12, 64
LIPS = ("16b", "32b", "32flow", "image")


def normal(seed, *shape):
    return jax.random.normal(jax.random.key(seed), shape)


def scene(batch=2, frames=3, **options):
    """Inputs, the module and parameters shaken so that flows and styles do something."""
    image = jnp.tanh(normal(0, batch, SIZE, SIZE, 3))
    encoder = VisualEncoder(style=STYLE, widths=WIDTHS, bottleneck=8)
    _, pyramid = encoder.apply(encoder.init(jax.random.key(1), image), image)
    slots = normal(2, batch, frames, STYLE), normal(3, batch, frames, STYLE)
    inputs = (image, pyramid, normal(4, batch, STYLE), *slots)
    generator = Generator(**{"widths": WIDTHS, "flow_width": 4, "lip_layers": LIPS} | options)
    params = generator.init(jax.random.key(5), *inputs)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(6), len(leaves))
    shaken = [leaf + 0.3 * jax.random.normal(k, leaf.shape) for leaf, k in zip(leaves, keys)]
    return generator, jax.tree.unflatten(tree, shaken), inputs


@pytest.mark.parametrize("plain", [False, True])
def test_shapes_and_composition(plain):
    generator, params, inputs = scene(plain=plain)
    render = generator.apply(params, *inputs)
    assert render.image.shape == (2, 3, SIZE, SIZE, 3)
    assert render.flow.shape == (2, 3, SIZE, SIZE, 2)
    assert render.mask.shape == (2, 3, SIZE, SIZE, 1)
    assert 0 <= float(render.mask.min()) and float(render.mask.max()) <= 1
    expected = render.mask * warp(inputs[0], render.flow) + (1 - render.mask) * render.rgb
    np.testing.assert_allclose(render.image, expected, atol=1e-5)


def test_begins_near_the_photograph():
    generator, _, inputs = scene()
    render = generator.apply(generator.init(jax.random.key(5), *inputs), *inputs)
    assert float(jnp.abs(render.flow).max()) < 0.2
    assert 0.5 < float(render.mask.mean()) < 0.9


def test_folded_frames_are_the_frames_one_by_one():
    generator, params, inputs = scene()
    image, pyramid, motion, head, lip = inputs
    together = generator.apply(params, *inputs)
    for clip in range(2):
        one = slice(clip, clip + 1)
        for frame in range(3):
            alone = generator.apply(
                params,
                image[one],
                tuple(level[one] for level in pyramid),
                motion[one],
                head[one, frame : frame + 1],
                lip[one, frame : frame + 1],
            )
            for whole, single in zip(together, alone, strict=True):
                np.testing.assert_allclose(whole[clip, frame], single[0, 0], atol=2e-5)


@pytest.mark.parametrize("lips, silent", [((), 4), (None, 3)])
def test_a_slot_without_layers_has_no_effect(lips, silent):
    """Silent: index of the input (3 head slot, 4 lip slot) that must not matter, and the other must."""
    lips = Generator(widths=WIDTHS).layers() if lips is None else lips
    generator, params, inputs = scene(lip_layers=lips)

    def image(slot, index):
        changed = [*inputs]
        changed[index] = slot
        return generator.apply(params, *changed).image.sum()

    other = 7 - silent
    assert not np.any(jax.grad(image)(inputs[silent], silent))
    assert np.any(jax.grad(image)(inputs[other], other))


def test_each_layer_listens_to_its_own_slot():
    generator, params, inputs = scene()
    params = jax.tree.map(jnp.copy, params)

    def styles(head, lip):
        _, state = generator.apply(
            params, *inputs[:3], head, lip, capture_intermediates=True, mutable=["intermediates"]
        )
        tree = state["intermediates"]
        layers = {
            f"{r}{part}": tree[f"level{r}"][part] for r in (8, 16, 32) for part in ("a", "b")
        }
        layers |= {f"{r}flow": tree[f"level{r}"]["flow"]["hidden"] for r in (8, 16, 32)}
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

    assert np.any(jax.grad(flow)(motion))


def test_tent_warps_give_the_same_frames():
    generator, params, inputs = scene()
    tent = generator.clone(tent_below=64)
    np.testing.assert_allclose(
        tent.apply(params, *inputs).image, generator.apply(params, *inputs).image, atol=2e-4
    )


@pytest.mark.parametrize("plain", [False, True])
def test_gradients_are_finite(plain):
    generator, params, inputs = scene(frames=1, plain=plain)
    gradients = jax.grad(lambda p: jnp.square(generator.apply(p, *inputs).image).mean())(params)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradients))
    moved = [bool(jnp.abs(leaf).max() > 0) for leaf in jax.tree.leaves(gradients)]
    assert sum(moved) > 0.8 * len(moved)


def test_unknown_lip_layer_and_wrong_pyramid_raise():
    generator, params, inputs = scene()
    with pytest.raises(ValueError, match="33b"):
        generator.clone(lip_layers=("33b",)).apply(params, *inputs)
    with pytest.raises(ValueError, match="pyramid"):
        generator.apply(params, inputs[0], inputs[1][:2], *inputs[2:])
