import ast
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import facespeak_jax
from configs import recipe
from facespeak_jax.data import pipeline, records
from facespeak_jax.data.schema import BadExample
from facespeak_jax.evaluation.judges.sync import training
from facespeak_jax.evaluation.judges.sync.examples import MomentExamples
from facespeak_jax.stages.stage import Stage
from tests import interruption

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def stage(corpus):
    config = training.config_of([corpus], steps=3, batch=4, frames=16, features=8, width=4)
    return training.JudgeStage(config)


@pytest.fixture(scope="module")
def batch(stage):
    made = pipeline.batches(stage.config, stage.example(), split="train")[0]
    return {name: jnp.asarray(value) for name, value in made.items()}


@pytest.fixture(scope="module")
def params(stage, batch):
    return jax.jit(stage.init)(KEY, batch)


def test_examples_are_stretches_of_mouths_and_their_sound(corpus):
    clips = records.open_split(corpus, "train")
    made = MomentExamples(16)(clips, np.random.default_rng(0), 0)
    assert made["mouths"].shape == (16, 56, 56)
    assert made["waves"].shape == (18 * 640,)
    # The tone is loud where the mouth is open: dark lips cover more of the picture.
    loud = np.square(made["waves"][640:-640].reshape(16, 640)).mean(axis=1)
    dark = (made["mouths"] < made["mouths"].mean()).mean(axis=(1, 2))
    assert np.corrcoef(loud, dark)[0, 1] > 0.8
    with pytest.raises(BadExample, match="48 frames"):
        MomentExamples(49)(clips, np.random.default_rng(0), 0)


def test_it_learns(stage, params, batch):
    assert isinstance(stage, Stage)
    optimizer = optax.adam(4e-3)

    @jax.jit
    def step(model, state, key):
        def loss(model):
            return stage.loss({"model": model}, batch, key, jnp.int32(0))

        (value, _), gradient = jax.value_and_grad(loss, has_aux=True)(model)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(model, updates), state, value

    model, state, seen = params["model"], optimizer.init(params["model"]), []
    for index in range(24):
        model, state, value = step(model, state, jax.random.fold_in(KEY, index))
        seen.append(float(value))
    assert np.isfinite(seen).all()
    assert np.mean(seen[-5:]) < 0.77 * np.log(16), seen  # log 16 is chance
    metrics, pictures, _ = stage.eval({"model": model}, batch, KEY)
    assert 0 <= float(metrics["within_0"]) <= float(metrics["within_1"]) <= 1
    assert pictures["mouths"].shape == (56, 16 * 56, 3)


def test_the_loop_finds_every_value_it_reads(stage):
    """Some are read only when a training resumes, or when it profiles."""
    assert set(stage.config.train) == set(recipe.TRAIN)
    assert set(stage.config.optim.model) == set(recipe.OPTIM)


def test_augmentation_treats_a_clip_as_a_whole(stage, batch):
    same = {**batch, "mouths": jnp.repeat(batch["mouths"][:, :1], 16, axis=1)}
    changed = jax.jit(stage._augmented)(same, KEY)
    assert changed["mouths"].shape == (4, 16, 48, 48)
    np.testing.assert_array_equal(changed["mouths"][:, 0], changed["mouths"][:, -1])
    assert float(jnp.abs(changed["mouths"][0, 0] - changed["mouths"][1, 0]).mean()) > 1


def test_a_band_of_each_clip_is_hidden():
    mel = jax.random.normal(KEY, (64, 20, 80))
    hidden = training.band_hidden(mel, jax.random.key(1))
    gone = np.asarray(jnp.any(hidden != mel, axis=1))
    widths = gone.sum(axis=1)
    assert widths.min() == 0
    assert widths.max() == training.WIDEST
    for clip, bins in enumerate(gone):
        where = np.flatnonzero(bins)
        assert len(where) == np.ptp(where) + 1 if len(where) else True  # they are neighbours
        np.testing.assert_allclose(hidden[clip][:, where], np.mean(mel[clip]), atol=1e-6)


def test_a_verdict_on_real_clips(params, corpus):
    found = training.verdict(params["model"][training.PART], records.open_split(corpus, "test"))
    assert found.clips == 2
    assert 0 <= found.in_sync <= 1
    assert 0 <= found.shifts_rejected <= 1


def test_no_training_of_the_model_knows_it():
    package = Path(facespeak_jax.__file__).parent
    files = [*(package / "stages").glob("*.py"), *(package / "training").glob("*.py")]
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [alias.name for alias in getattr(node, "names", [])]
            named = " ".join([getattr(node, "module", None) or "", *names])
            if isinstance(node, ast.Import | ast.ImportFrom):
                assert "evaluation" not in named, file


@pytest.mark.slow
def test_one_that_is_stopped_gives_no_judge(corpus, tmp_path, capsys, monkeypatch):
    interruption.after(1, monkeypatch)
    given = ["--corpus", corpus, "--workdir", str(tmp_path / "w"), "--steps", "9"]
    out = tmp_path / "weights.safetensors"
    assert training.main([*given, "--out", str(out)]) == 1
    assert "of 9; the same command goes on" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.slow
def test_the_command_trains_and_says_how_good_it_is(corpus, tmp_path, capsys):
    given = ["--corpus", corpus, "--workdir", str(tmp_path / "w"), "--steps", "2"]
    out = tmp_path / "judge" / "weights.safetensors"
    for _ in range(2):  # the second time from its own checkpoint
        assert training.main([*given, "--out", str(out)]) == 0
        assert "2 test clips" in capsys.readouterr().out
        assert out.exists()
        out.unlink()
