import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from facespeak_jax.speech.text import SYMBOLS
from facespeak_jax.stages.speech import FROZEN, TRAINED, SpeechStage, given_or_found
from facespeak_jax.stages.stage import Stage

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def stage(corpus):
    config = ConfigDict(
        {
            "seed": 0,
            "model": {
                "size": 32,
                "mel_mean": -6.0,
                "mel_std": 2.0,
                "encoder": {"style": 16, "widths": (8, 8), "bottleneck": 16},
                "motion_basis": {"width": 16, "head": 4, "lip": 2, "depth": 0},
                "voice_reader": {"width": 8},
                "voice_code": {"size": 8},
                "text_encoder": {"symbols": len(SYMBOLS), "width": 16, "depth": 1, "prenet": 1},
                "durations": {"width": 16, "depth": 1},
                "mel_decoder": {"width": 16, "blocks": 1, "middle": 1},
                "vocoder": {"kind": "istft", "width": 16, "depth": 1},
            },
            "loss": {
                "prior": 1.0,
                "duration": 1.0,
                "flow": 1.0,
                "guess": 1.0,
                "told": 0.5,
                "voice_of": "identity",
            },
            "data": {
                "tokens": 16,
                "mels": 200,
                "crop": 48,
                "augment": 1.0,
                "paths": [corpus],
                "weights": [1.0],
                "batch": 2,
            },
            "train": {"dtype": "float32"},
            "upstream": {"vocoder": "somewhere"},
        }
    )
    return SpeechStage(config)


@pytest.fixture(scope="module")
def loss(stage, params):
    def total(parts, batch, key):
        return stage.loss({**params, "model": parts}, batch, key, jnp.int32(0))

    return jax.jit(jax.value_and_grad(total, has_aux=True))


def test_is_a_stage_with_the_right_parts(stage, params):
    assert isinstance(stage, Stage)
    assert set(params["model"]) == set(TRAINED)
    assert set(params["frozen"]) == {*FROZEN, "vocoder"}


def test_every_trained_part_learns(loss, params, batch):
    (value, _), gradient = loss(params["model"], batch, KEY)
    assert jnp.isfinite(value)
    for name in TRAINED:
        largest = max(float(jnp.abs(x).max()) for x in jax.tree.leaves(gradient[name]))
        assert 0.0 < largest < np.inf, name


def test_losses_fall(loss, params, batch):
    optimizer = optax.adam(5e-3)
    update = jax.jit(optimizer.update)
    parts, state = params["model"], optimizer.init(params["model"])
    seen = []
    for index in range(60):
        (_, outputs), gradient = loss(parts, batch, jax.random.fold_in(KEY, index % 4))
        updates, state = update(gradient, state)
        parts = optax.apply_updates(parts, updates)
        seen.append({name: float(x) for name, x in outputs.metrics.items()})
    for name in ("prior", "duration", "flow", "guess"):
        first = np.mean([metrics[f"speech/{name}"] for metrics in seen[:4]])
        last = np.mean([metrics[f"speech/{name}"] for metrics in seen[-4:]])
        assert last < 0.8 * first, name


def test_who_is_told_the_voice_needs_no_face_and_others_no_voice(stage, params, batch):
    modules, parts = stage.modules, {**params["frozen"], **params["model"]}
    told = jnp.array([True, False])
    batch = {**batch, "voiced": jnp.array([True, True])}

    @jax.jit
    def code(identity, batch):
        return modules.sentence(parts, identity, batch, {}, told).code

    face = modules.identity(parts, batch["identity"])
    first = code(face, batch)
    known = modules.run("voice_code", parts, batch["voice"])
    np.testing.assert_allclose(first[0], known[0], atol=1e-6)
    other_face, other_voice = code(face[::-1] + 1.0, batch), code(face, {**batch, "voice": face})
    np.testing.assert_array_equal(other_face[0], first[0])
    assert float(jnp.abs(other_face[1] - first[1]).max()) > 1e-3
    np.testing.assert_array_equal(other_voice[1], first[1])
    assert float(jnp.abs(other_voice[0] - first[0]).max()) > 1e-3
    nobody = {**batch, "voiced": jnp.array([False, True])}
    guess = modules.sentence(parts, face, batch, {}).guess
    suggested = modules.run("voice_code", parts, guess)
    np.testing.assert_allclose(code(face, nobody)[0], suggested[0], atol=1e-5)


def test_the_reader_is_left_alone_where_all_voices_are_told(stage, params, batch):
    config = ConfigDict(stage.config.to_dict())
    config.loss.update({"told": 1.0, "guess": 0.0})
    other = SpeechStage(config)

    def total(trained, voiced):
        those = {**params, "model": trained}
        return other.loss(those, {**batch, "voiced": voiced}, KEY, jnp.int32(0))[0]

    slope = jax.jit(jax.grad(total))
    told, untold = (slope(params["model"], jnp.array([v, v])) for v in (True, False))
    assert optax.global_norm(told["voice_reader"]) == 0
    assert optax.global_norm(untold["voice_reader"]) > 0
    assert optax.global_norm(told["voice_code"]) > 0


def test_a_guess_teaches_the_reader_and_never_the_voice(stage, params, batch):
    modules, frozen = stage.modules, params["frozen"]
    batch = {**batch, "voiced": jnp.array([True, True])}

    def guess(trained):
        parts = {**frozen, **trained}
        said = modules.sentence(parts, modules.identity(parts, batch["identity"]), batch, {})
        return modules.terms(parts, said, batch, KEY, {})["guess"]

    gradient = jax.jit(jax.grad(guess))(params["model"])
    assert optax.global_norm(gradient["voice_reader"]) > 0
    assert optax.global_norm(gradient["voice_code"]) == 0


def test_padding_never_changes_the_losses(stage, params, batch):
    """Evaluated without dropout; the bucket grows behind the sentence only."""
    modules = stage.modules
    parts = {**params["frozen"], **params["model"]}
    parts = jax.tree.map(lambda x: x + 0.03 * jax.random.normal(KEY, x.shape), parts)
    longer = dict(batch)
    longer["tokens"] = jnp.pad(batch["tokens"], ((0, 0), (0, 7)), constant_values=5)
    longer["durations"] = jnp.pad(batch["durations"], ((0, 0), (0, 7)))
    longer["wave"] = jnp.pad(batch["wave"], ((0, 0), (0, 160 * 24)), constant_values=999)

    @jax.jit
    def terms(batch):
        said = modules.sentence(parts, modules.identity(parts, batch["identity"]), batch, {})
        return modules.terms(parts, said, batch, KEY, {})

    short, long = terms(batch), terms(longer)
    for name in short:
        np.testing.assert_allclose(short[name], long[name], rtol=1e-5)


def test_durations_are_given_or_found(batch):
    prior = jax.random.normal(KEY, (*batch["tokens"].shape, 80))
    target = jax.random.normal(KEY, (2, 200, 80))
    given = given_or_found(batch, prior, target)
    np.testing.assert_array_equal(given, batch["durations"])
    half = {**batch, "timed": jnp.array([True, False])}
    found = given_or_found(half, prior, target)
    np.testing.assert_array_equal(found[0], batch["durations"][0])
    assert int(found[1].sum()) == int(batch["mel_length"][1])
    assert int(found[1, : int(batch["length"][1])].min()) >= 1
    assert (found[1] != batch["durations"][1]).any()


def test_eval_shows_the_sentence(stage, params, batch):
    metrics, pictures, sounds = stage.eval(params, batch, KEY)
    m, length = int(batch["mel_length"][0]), int(batch["length"][0])
    assert all(bool(jnp.isfinite(x)) for x in metrics.values())
    assert pictures["mel"].shape == (160, m, 3)
    assert pictures["alignment"].shape == (4 * length, m, 3)
    assert sounds["spoken"].shape == sounds["recorded"].shape == (160 * m,)


def test_a_voice_of_all_of_f_knows_the_motion(stage, params, batch):
    parts = {**params["frozen"], **params["model"]}
    image = batch["identity"]
    f, _ = stage.modules.run("encoder", parts, image.astype(jnp.float32) / 127.5 - 1)
    split = stage.modules.run("motion_basis", parts, f)
    np.testing.assert_allclose(stage.modules.identity(parts, image), split.identity, atol=1e-5)
    config = ConfigDict(stage.config.to_dict())
    config.loss.voice_of = "style"
    np.testing.assert_allclose(SpeechStage(config).modules.identity(parts, image), f, atol=1e-4)
