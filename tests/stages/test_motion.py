import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from facespeak_jax.data.examples.motion import HISTORY
from facespeak_jax.motion import sampler
from facespeak_jax.rates import MELS_PER_FRAME
from facespeak_jax.speech import mel
from facespeak_jax.speech.text import SYMBOLS
from facespeak_jax.stages import motion

STYLE = 16
SAMPLER = {"width": 16, "depth": 1, "heads": 2, "dropout": 0.0}
CONFIG = ConfigDict(
    {
        "model": {
            "size": 64,
            "mel_mean": -6.0,
            "mel_std": 2.0,
            "encoder": {"style": STYLE, "widths": (8, 8), "bottleneck": 8},
            "motion_basis": {"width": STYLE, "head": 6, "lip": 3, "depth": 1},
            "voice_reader": {"width": 8},
            "voice_code": {"size": 8},
            "text_encoder": {"symbols": len(SYMBOLS), "width": 16, "depth": 1, "prenet": 1},
            "reducer": {"head": 6, "latent": 2, "width": 16, "depth": 1},
            "motion_prior": {"latent": 2, **SAMPLER},
            "motion_field": {"latent": 2, **SAMPLER},
            "lip_mapper": {"lip": 3, "width": 16, "stages": 1, "dropout": 0.0},
        },
        "loss": {
            "ae": 1.0,
            "prior": 1.0,
            "cfm": 1.0,
            "lip": 1.0,
            "lip_change": 1.0,
            "predicted_energy": 0.5,
            "lips_hear": ("text", "prior", "energy"),
            "head_hears": True,
            "reducer_steps": 40,
        },
        "data": {"shortest": 16, "frames": 24, "tokens": 16},
        "train": {"dtype": "float32"},
    }
)
KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def prepared(clips, tmp_path_factory):
    """A stage with its tables filled, its first parameters, a batch, and where the tables lie."""
    stage, workdir = motion.MotionStage(CONFIG), tmp_path_factory.mktemp("work")

    def batch():
        maker = stage.example()
        examples = [maker(clips, np.random.default_rng(i), i % len(clips)) for i in range(8)]
        return {name: jnp.array([e[name] for e in examples]) for name in examples[0]}

    params = jax.jit(stage.init)(KEY, batch())
    stage.prepare(params, [clips], workdir)
    return stage, params, batch(), clips, workdir


def test_preparing_encodes_the_clips_it_is_given(prepared):
    stage, _, batch, clips, workdir = prepared
    assert set(stage.tables) == {clips.name}
    assert stage.tables[clips.name].of(2).shape == (48, 9)
    assert len(list((workdir / "alpha").rglob("*.npz"))) == 1
    assert float(jnp.abs(batch["alpha"]).max()) > 0


def test_mel_of_a_stretch_is_that_of_the_whole_clip(prepared):
    stage, _, batch, clips, _ = prepared
    found = stage.mel(batch)
    for row in range(2):
        clip, length = clips[row], MELS_PER_FRAME * int(batch["length"][row])
        whole = (mel.log_mel(jnp.array(clip.audio / 32768.0, jnp.float32)[None]) + 6.0) / 2.0
        windows = [whole[0, 4 * k : 4 * k + length] for k in range(48 - length // 4 + 1)]
        nearest = min(float(jnp.abs(window - found[row, :length]).mean()) for window in windows)
        assert nearest < 0.01


def test_text_of_a_stretch_follows_its_durations(prepared):
    stage, params, batch, _, _ = prepared
    text = stage.text(params["frozen"], batch)
    assert text.features.shape == (8, 4 * 24, 16)
    assert text.prior.shape == (8, 4 * 24, 80)
    phoneme = np.repeat(np.arange(16), np.asarray(batch["durations"][0]))
    first, end = 4 * int(batch["start"][0]), 4 * int(batch["length"][0])
    changes = np.abs(np.diff(np.asarray(text.features[0, :end]), axis=0)).max(-1) > 1e-6
    np.testing.assert_array_equal(changes, np.diff(phoneme[first : first + end]) > 0)


@pytest.fixture(scope="module")
def step(prepared):
    """(model, state, batch, index) -> model, state, metrics, gradient norms; compiled once."""
    stage, params, _, _, _ = prepared
    optimizer = optax.adam(5e-3)

    @jax.jit
    def run(model, state, batch, index):
        def loss(model):
            key = jax.random.fold_in(KEY, index)
            return stage.loss(params | {"model": model}, batch, key, index)

        (_, outputs), grads = jax.value_and_grad(loss, has_aux=True)(model)
        norms = {name: optax.global_norm(tree) for name, tree in grads.items()}
        updates, state = optimizer.update(grads, state)
        updates = {
            name: jax.tree.map(lambda u, n=norms[name]: jnp.where(n > 0, u, 0.0), tree)
            for name, tree in updates.items()
        }
        return optax.apply_updates(model, updates), state, outputs.metrics, norms

    return run, optimizer.init(params["model"])


def test_reducer_and_sampler_train_in_turn(prepared, step):
    (run, state), params, batch = step, prepared[1], prepared[2]
    for index, expected in (
        (39, {"reducer", "lip_mapper"}),
        (40, {"motion_prior", "motion_field", "lip_mapper"}),
    ):
        norms = run(params["model"], state, batch, jnp.int32(index))[3]
        assert {name for name, norm in norms.items() if float(norm) > 0} == expected


def test_losses_fall(prepared, step):
    stage, params, batch, _, _ = prepared
    run, state = step
    model, seen = params["model"], []
    for index in range(160):
        model, state, metrics, _ = run(model, state, batch, jnp.int32(index))
        seen.append({name: float(value) for name, value in metrics.items()})

    def mean(name, first, last):
        return np.mean([metrics[name] for metrics in seen[first:last]])

    assert mean("ae", 36, 40) < 0.8 * mean("ae", 0, 4)
    assert mean("ae", 150, 160) == pytest.approx(seen[41]["ae"], rel=1e-5)
    assert mean("prior", 150, 160) < mean("prior", 40, 45)
    assert mean("cfm", 140, 160) < 0.9 * mean("cfm", 40, 60)
    assert mean("lip", 150, 160) < 0.7 * mean("lip", 0, 4)
    metrics, pictures, _ = stage.eval({"model": model, "frozen": params["frozen"]}, batch, KEY)
    assert all(np.isfinite(float(value)) for value in metrics.values())
    assert set(pictures) == {"head", "lips"}
    assert pictures["head"].ndim == 3
    assert pictures["head"].dtype == np.uint8


def test_padding_of_a_stretch_never_changes_the_losses(prepared, step):
    (run, state), params, batch = step, prepared[1], prepared[2]
    loud = dict(batch)
    for name, unit, ends in (
        ("alpha", 1, HISTORY + batch["length"]),
        ("wave", 640, 640 * (batch["length"] + 2)),
    ):
        behind = jnp.arange(batch[name].shape[1])[None, :] >= ends[:, None]
        behind = behind if unit > 1 else behind[:, :, None]
        loud[name] = jnp.where(behind, jnp.float32(0.5), batch[name])
        assert bool(behind.any())
    changed, plain = (run(params["model"], state, b, jnp.int32(50))[2] for b in (loud, batch))
    for name, value in changed.items():
        np.testing.assert_allclose(value, plain[name], rtol=1e-4, err_msg=name)


def test_a_clip_begins_in_its_first_pose(prepared):
    """As sampling does: neither what came before it nor the portrait's own moment matter then."""
    stage, params, batch, _, _ = prepared
    alpha, source = batch["alpha"][..., :6], batch["source"][:, :6]
    text = stage.text(params["frozen"], batch).features
    code = stage._code(params["model"], alpha, batch["length"])
    model = jax.tree.map(lambda x: x + 0.02, params["model"])  # zero outputs would hide all of it

    @jax.jit
    def loss(code, pose, source, goes_on):
        goes_on = jnp.full(len(code), goes_on)
        return stage.modules.sampler_loss(
            model, text, code, pose, source, goes_on, batch["length"], KEY
        )[0]

    pose = alpha[:, HISTORY]
    elsewhere = code.at[:, :HISTORY].add(1.0), pose, source + 1.0
    assert float(loss(code, pose, source, False)) == float(loss(*elsewhere, False))
    assert abs(float(loss(code, pose, source, True) - loss(*elsewhere, True))) > 1e-4
    assert abs(float(loss(code, pose, source, False) - loss(code, pose + 1, source, False))) > 1e-4


def test_the_flow_is_of_what_the_accent_leaves(prepared):
    """Codes that follow a text by its accent cost what the codes without it do without a text."""
    stage, params, batch, _, _ = prepared
    alpha, source = batch["alpha"][..., :6], batch["source"][:, :6]
    text = stage.text(params["frozen"], batch).features
    code = stage._code(params["model"], alpha, batch["length"])
    model = jax.tree.map(lambda x: x + 0.02, params["model"])
    model["motion_prior"]["text"]["kernel"] *= 0  # nothing but the accent comes from the text
    accent = stage.modules.prior.apply(
        {"params": model["motion_prior"]}, sampler.pool(text), batch["length"], method="accent"
    )
    assert float(jnp.abs(accent).mean()) > 1e-3
    never = jnp.zeros(len(code), bool)

    @jax.jit
    def told(text, code):
        return stage.modules.sampler_loss(
            model, text, code, alpha[:, HISTORY], source, never, batch["length"], KEY
        )[1]

    found, plain = told(text, code.at[:, HISTORY:].add(accent)), told(0 * text, code)
    for name in ("prior", "cfm"):
        np.testing.assert_allclose(found[name], plain[name], rtol=1e-5)
        assert (
            abs(float(told(0 * text, code.at[:, HISTORY:].add(accent))[name] - plain[name])) > 1e-6
        )


def test_a_head_that_is_told_nothing(prepared):
    """The cascade: neither lips nor head read the text."""
    changed = ConfigDict(CONFIG.to_dict())
    changed.loss.update({"lips_hear": ("mel", "energy"), "head_hears": False})
    changed.loss.predicted_energy = 0.0  # which would be the text's
    modules = motion.MotionStage(changed).modules
    stage, params, batch, _, _ = prepared
    text = stage.text(params["frozen"], batch)
    other = jax.tree.map(lambda x: x + 1.0, text)
    mel_of, mouth = stage.mel(batch), batch["source"][:, -3:]

    @jax.jit
    def lips(text):
        trained = params["model"]["lip_mapper"]
        return modules.lips(trained, text, mel_of, mouth, batch["length"], KEY)

    np.testing.assert_array_equal(lips(text), lips(other))
    assert not bool(modules.head_text(text.features).any())
    assert stage.modules.head_text(text.features) is text.features


def test_what_has_no_weight_is_left_out(prepared):
    """Of a twin that trains the lips alone, or the head alone: the other is not even computed."""
    stage, params, batch, _, _ = prepared
    _, whole = stage.loss(params, batch, KEY, jnp.int32(50))
    lips = {"lip", "lip_change", "lip_share"}
    for unweighted, kept in (
        ({"ae", "prior", "cfm"}, lips),
        ({"lip", "lip_change"}, set(whole.metrics) - lips),
    ):
        changed = ConfigDict(CONFIG.to_dict())
        changed.loss.update(dict.fromkeys(unweighted, 0.0))
        _, found = motion.MotionStage(changed).loss(params, batch, KEY, jnp.int32(50))
        assert set(found.metrics) == kept
        for name, value in found.metrics.items():
            np.testing.assert_allclose(value, whole.metrics[name], rtol=1e-6, err_msg=name)
