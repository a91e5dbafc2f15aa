import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from facespeak_jax.data import records
from facespeak_jax.stages import sync

CONFIG = ConfigDict(
    {
        "sync": {"size": 16, "features": 16, "width": 8},
        "model": {"size": 64, "mel_mean": -6.0, "mel_std": 2.0},
        "data": {"negatives": 2},
        "train": {"dtype": "float32"},
    }
)


@pytest.fixture(scope="module")
def batch(corpus):
    clips = records.open_split(corpus, "train")
    maker = sync.SyncStage(CONFIG).example()
    examples = [maker(clips, np.random.default_rng(i), i % len(clips)) for i in range(16)]
    return {name: jnp.array([e[name] for e in examples]) for name in examples[0]}


def test_half_of_the_weight_lies_on_the_true_moment():
    logits = jnp.array([[2.0, -1.0, 0.5]])
    true, false = np.log1p(np.exp(-2.0)), np.log1p(np.exp([-1.0, 0.5])).mean()
    assert float(sync.balanced_cross_entropy(logits)) == pytest.approx(0.5 * (true + false))
    assert float(sync.accuracy(logits)) == 1.0
    assert float(sync.accuracy(jnp.array([[0.0, 1.0], [1.0, 0.0]]))) == 0.5


def test_mirroring_keeps_the_mouth_under_its_box(batch):
    stage, key = sync.SyncStage(CONFIG), jax.random.key(3)
    changed = jax.jit(stage._augmented)(batch, key)
    mirror = np.asarray(jax.random.bernoulli(jax.random.split(key, 4)[0], 0.5, (16,)))
    assert 0 < mirror.sum() < 16
    centre = np.asarray(changed["mouth_box"])[..., [0, 2]].mean(-1)
    before = batch["mouth_box"][..., [0, 2]].mean(-1)
    expected = np.where(mirror[:, None], 1 - before, before)
    np.testing.assert_allclose(centre, expected, atol=0.03)
    for row in range(4):  # the mouth is redder than the skin around it
        frame = np.asarray(changed["frames"][row, 0])
        x, y = int(64 * expected[row, 0]), int(64 * batch["mouth_box"][row, 0, [1, 3]].mean())
        redness = frame[..., 0] - frame[..., 1:].mean(-1)
        assert redness[y, x] > np.median(redness) + 20


def test_loss_falls(batch):
    stage, key = sync.SyncStage(CONFIG), jax.random.key(0)
    params = jax.jit(stage.init)(key, batch)
    optimizer = optax.adam(2e-3)
    state = optimizer.init(params["model"])

    @jax.jit
    def step(model, state, key):
        def loss(model):
            return stage.loss({"model": model}, batch, key, jnp.int32(0))

        (value, _), grads = jax.value_and_grad(loss, has_aux=True)(model)
        updates, state = optimizer.update(grads, state)
        return optax.apply_updates(model, updates), state, value

    model, values = params["model"], []
    for index in range(60):
        model, state, value = step(model, state, jax.random.fold_in(key, index))
        values.append(float(value))
    assert np.mean(values[-10:]) < 0.8 * np.mean(values[:5])
    metrics, pictures, sounds = stage.eval({"model": model}, batch, key)
    assert float(metrics["true_logit"]) > float(metrics["false_logit"])
    assert pictures["crops"].shape == (4 * 16, 5 * 16, 3)
    assert not sounds
