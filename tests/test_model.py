import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax import model

CONFIG = {
    "size": 16,
    "encoder": {"style": 32, "widths": (8, 8), "bottleneck": 8},
    "motion_basis": {"width": 32, "head": 4, "lip": 2, "depth": 1},
    "generator": {"widths": [8, 8], "flow_width": 8, "lip_layers": ["16b", "image"]},
    "voice_reader": {"width": 8},
    "voice_code": {"size": 8},
    "vocoder": {"kind": "istft", "width": 8, "depth": 1},
}


def init(net, *args, method):
    return net.init(jax.random.key(0), *args, method=method)["params"]


def test_parts_are_the_keys_of_the_parameters():
    net = model.build(CONFIG)

    def run(image):
        params = init(net, image, method="encode")
        assert set(params) == {"encoder"}
        f, pyramid = net.apply({"params": params}, image, method="encode")
        params |= init(net, f, method="split")
        motion = net.apply({"params": params}, f, method="split")
        arguments = (image, pyramid, motion.motion, f[:, None, :], f[:, None, :])
        params |= init(net, *arguments, method="render")
        return params, net.apply({"params": params}, *arguments, method="render")

    params, render = jax.eval_shape(run, jnp.zeros((1, 16, 16, 3)))
    assert set(params) == {"encoder", "motion_basis", "generator"}
    assert render.image.shape == (1, 1, 16, 16, 3)


def test_a_part_alone_has_the_same_parameters():
    image = jnp.ones((1, 16, 16, 3))
    part = model.part("encoder", CONFIG["encoder"])
    params = part.init(jax.random.key(1), image)["params"]
    whole = model.build(CONFIG).apply({"params": {"encoder": params}}, image, method="encode")
    np.testing.assert_array_equal(part.apply({"params": params}, image)[0], whole[0])


def test_compute_dtype_leaves_parameters_in_float32():
    net = model.build(CONFIG, dtype=jnp.bfloat16)
    f = jnp.ones((1, 32))
    params = init(net, f, method="voice")
    assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    assert net.apply({"params": params}, f, method="voice").dtype == jnp.bfloat16


def test_a_typo_is_refused_with_what_there_is():
    with pytest.raises(model.BadModelConfig, match=r"no part encodr; there are encoder, "):
        model.build({"encodr": {}})
    with pytest.raises(
        model.BadModelConfig, match=r"model\.encoder .*width.*arguments are style, wid"
    ):
        model.build({"encoder": {"width": (8,)}})
    with pytest.raises(model.BadModelConfig, match=r"vocoder\.kind is 'wavenet'"):
        model.build({"vocoder": {"kind": "wavenet"}})
