"""The face stage on made-up clips: its terms, its gating, and that it learns."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict
from safetensors.numpy import save_file

from facespeak_jax.data.examples.face import LIP_UNITS
from facespeak_jax.face import perceptual
from facespeak_jax.stages.face import (
    LIP_GAIN,
    FaceStage,
    Readout,
    attention,
    disagreement,
    edge_l1,
    inside,
    landmark_error,
    pyramid_l1,
)


def config(corpus, **loss):
    weights = {
        "pixel": 1.0,
        "gradient": 1.0,
        "warped": 1.0,
        "landmark": 5.0,
        "feature": 0.5,
        "gan": 0.1,
        "identity": 0.3,
        "contrast": 0.1,
        "pose": 1.0,
        "units": 0.3,
        "voice": 1.0,
        "consistency": 0.1,
        "perceptual": 0.0,
        "perceptual_weights": "",
        "box": 5.0,
        "temperature": 0.1,
        "critic_from": 5,
        "critic_smooth": 10.0,
        "identity_frame": "other",
        "critic": {"widths": (4, 6), "patch": 2},
    }
    return ConfigDict(
        {
            "stage": "face",
            "seed": 0,
            "model": {
                "size": 32,
                "encoder": {"style": 16, "widths": (8, 6), "bottleneck": 8},
                "motion_basis": {"width": 16, "head": 4, "lip": 3, "depth": 1},
                "generator": {"widths": (8, 6), "flow_width": 4, "lip_layers": ("16b", "image")},
                "voice_reader": {"width": 8},
            },
            "loss": weights | loss,
            "train": {"dtype": "float32"},
            "data": {
                "paths": [corpus],
                "weights": [1.0],
                "batch": 4,
                "crossed": 0.5,
                "augment": 1.0,
            },
        }
    )


@pytest.fixture(scope="module")
def stage(corpus):
    return FaceStage(config(corpus))


@pytest.fixture(scope="module")
def begun(stage, params, batch):
    return stage, params, batch


@pytest.fixture(scope="module")
def graded(begun):
    """The jitted loss with gradients of the model."""
    stage = begun[0]

    def value(model, params, batch, step):
        return stage.loss(params | {"model": model}, batch, jax.random.key(1), step)

    return jax.jit(jax.value_and_grad(value, has_aux=True))


def test_loss_falls_and_stays_finite(begun, graded):
    _, params, batch = begun
    optimiser = optax.adam(3e-3)
    model, state = params["model"], optimiser.init(params["model"])
    update = jax.jit(optimiser.update)
    values = []
    for _ in range(12):
        (value, _), gradient = graded(model, params, batch, jnp.int32(0))
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient))
        change, state = update(gradient, state)
        model = optax.apply_updates(model, change)
        values.append(float(value))
    assert values[-1] < 0.8 * values[0]


def test_every_part_is_trained(begun, graded):
    _, params, batch = begun
    _, gradient = graded(params["model"], params, batch, jnp.int32(0))
    for part, leaves in gradient.items():
        assert float(optax.global_norm(leaves)) > 0, part


def test_critic_waits_for_its_step(begun, graded):
    stage, params, batch = begun
    (_, before), _ = graded(params["model"], params, batch, jnp.int32(4))
    (_, after), _ = graded(params["model"], params, batch, jnp.int32(5))
    assert before.metrics["face/gan"] == 0
    assert before.metrics["face/feature"] == 0
    assert after.metrics["face/gan"] > 0
    assert after.metrics["face/feature"] > 0

    @jax.jit
    def slope(critic, step):
        return jax.grad(
            lambda c: stage.critic_loss(
                params | {"critic": c}, after.carry, batch, jax.random.key(2), step
            )[0]
        )(critic)

    assert optax.global_norm(slope(params["critic"], jnp.int32(4))) == 0
    assert optax.global_norm(slope(params["critic"], jnp.int32(5))) > 0


def test_clips_without_ground_truth_only_lose_its_terms(begun, graded):
    _, params, batch = begun
    unknown = batch | {
        "posed": jnp.zeros_like(batch["posed"]),
        "has_units": jnp.zeros_like(batch["has_units"]),
        "pose": jnp.full_like(batch["pose"], 1e3),
        "voiced": jnp.zeros_like(batch["voiced"]),
        "voice": jnp.full_like(batch["voice"], 1e3),
    }
    (value, outputs), gradient = graded(params["model"], params, unknown, jnp.int32(0))
    assert jnp.isfinite(value)
    assert outputs.metrics["face/pose"] == 0
    assert outputs.metrics["face/units"] == 0
    assert outputs.metrics["face/voice"] == 0
    assert optax.global_norm(gradient["readout"]) == 0
    assert optax.global_norm(gradient["voice_reader"]) == 0


def test_each_driving_frame_gives_its_own_half(begun):
    """The head's frame changes no lip code, the lips' frame no head code, of what is rendered."""
    stage, params, batch = begun
    render = jax.jit(lambda b: stage.render(params, b))
    motion, before = render(batch)
    moved, after = render(batch | {"lips": batch["lips"][::-1]})
    np.testing.assert_allclose(moved.alpha_head[:, 2], motion.alpha_head[:, 2], atol=1e-6)
    assert np.abs(after.image - before.image).max() > 1e-6
    none = stage.generator.clone(lip_layers=())
    stage = FaceStage(stage.config)
    stage.generator = none
    render = jax.jit(lambda b: stage.render(params, b))
    before, after = render(batch)[1], render(batch | {"lips": batch["lips"][::-1]})[1]
    np.testing.assert_allclose(after.image, before.image, atol=1e-6)


def test_contrast_has_no_rivals_of_the_same_person(begun, graded):
    _, params, batch = begun
    alike = batch | {"speaker": jnp.zeros_like(batch["speaker"])}
    (_, outputs), _ = graded(params["model"], params, alike, jnp.int32(0))
    np.testing.assert_allclose(outputs.metrics["face/contrast"], 0, atol=1e-6)


def test_eval_reports_and_draws(begun):
    stage, params, batch = begun
    metrics, pictures, sounds = stage.eval(params, batch, jax.random.key(0))
    source, target = (np.asarray(batch[k], np.float64) / 127.5 for k in ("source", "target"))
    np.testing.assert_allclose(metrics["copy_l1"], np.abs(source - target).mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["ratio"], metrics["l1"] / metrics["copy_l1"], rtol=1e-4)
    strip = pictures["strip"]
    assert strip.shape == (5 * 32, 4 * 32, 3)
    assert strip.dtype == np.uint8
    np.testing.assert_array_equal(strip[:32, :32], batch["source"][0])
    np.testing.assert_array_equal(strip[64:96, 32:64], batch["target"][1])
    assert sounds == {}


def test_boxes_and_attention():
    box = jnp.array([[0.25, 0.5, 0.75, 1.0]])
    mask = np.asarray(inside(box, 8))
    assert mask[0, 4:, 2:6].all()
    assert mask.sum() == 16
    weight = attention({"mouth_box": box, "eye_box": jnp.zeros((1, 4))}, 5.0, 8)
    assert weight.shape == (1, 8, 8, 1)
    np.testing.assert_array_equal(np.unique(weight), [1, 5])


def test_landmark_error_is_none_for_the_flow_between_them():
    target = jnp.array([[[0.25, 0.5], [0.7, 0.3], [0.1, 0.9], [0.0, 1.0], [0.5, 0.5]]])
    batch = {
        "target_landmarks": target,
        "source_landmarks": target + jnp.array([0.1, -0.05])[None, None, :],
        "has_landmarks": jnp.array([[1.0, 1.0, 1.0, 0.0, 0.0]]),
    }
    flow = jnp.ones((1, 16, 16, 2)) * jnp.array([0.1, -0.05])[None, None, None, :]
    np.testing.assert_allclose(landmark_error(flow, batch), 0, atol=1e-6)
    np.testing.assert_allclose(landmark_error(0 * flow, batch), 0.15, rtol=1e-5)
    unknown = batch | {"has_landmarks": jnp.zeros((1, 5))}
    assert landmark_error(0 * flow, unknown) == 0


def test_reconstruction_of_a_constant_error():
    real = jax.random.normal(jax.random.key(0), (2, 16, 16, 3))
    weight = jnp.ones((2, 16, 16, 1))
    np.testing.assert_allclose(pyramid_l1(real + 0.5, real, weight), 4 * 0.5, rtol=1e-5)
    np.testing.assert_allclose(edge_l1(real + 0.5, real, weight), 0, atol=1e-5)


def test_perceptual_network_comes_from_a_file(corpus, tmp_path):
    rng = np.random.default_rng(0)
    weights = {"mean": np.full(3, 0.5, np.float32), "std": np.full(3, 0.25, np.float32)}
    for name, shape in {"block1_conv1": (3, 3, 3, 4), "block2_conv1": (3, 3, 4, 5)}.items():
        weights[f"{name}/kernel"] = rng.normal(size=shape).astype(np.float32)
        weights[f"{name}/bias"] = np.zeros(shape[-1], np.float32)
    path = str(tmp_path / "net.safetensors")
    save_file(weights, path)
    image = jnp.asarray(rng.normal(size=(2, 8, 8, 3)), jnp.float32)
    loaded = {name: jnp.asarray(value) for name, value in perceptual.load(path).items()}
    assert perceptual.distance(loaded, image, image) == 0
    assert perceptual.distance(loaded, image, image + 0.5) > 0.01
    stage = FaceStage(config(corpus, perceptual=1.0, perceptual_weights=path))
    assert stage._perceptual is not None
    with pytest.raises(perceptual.BadPerceptualWeights, match="no file"):
        perceptual.load(str(tmp_path / "absent"))


def test_disagreement_does_not_pull_at_the_scale_of_alpha():
    alpha = jax.random.normal(jax.random.key(0), (6, 5, 8))

    def at(scale):
        return disagreement(jnp.exp(scale) * alpha, 3)

    for scale in (0.0, -4.0):
        value, slope = jax.value_and_grad(at)(scale)
        assert float(value) == pytest.approx(float(at(0.0)), rel=1e-4)
        assert abs(float(slope)) < 1e-4
    same = jnp.broadcast_to(alpha[:, :1], alpha.shape)
    assert float(disagreement(same, 3)) == 0


def test_no_readout_amplifies_a_whisper_of_the_lips():
    """Whatever its parameters grow to, the mouth's reading is at most LIP_GAIN times α_lip."""
    heads, lips = jnp.ones((2, 5, 4)), jax.random.normal(jax.random.key(1), (2, 5, 3))
    given = (heads, lips)
    readout: Any = Readout()
    params = readout.init(jax.random.key(0), *given)["params"]
    loud = params | {"mouth": 1e3 * params["mouth"]}
    units = readout.apply({"params": params}, *given)[1]
    np.testing.assert_allclose(readout.apply({"params": loud}, *given)[1], units, atol=1e-4)
    mouth = units[..., LIP_UNITS]
    np.testing.assert_array_less(
        jnp.linalg.norm(mouth, axis=-1),
        LIP_GAIN * jnp.linalg.norm(lips, axis=-1) + 1e-4,
    )
