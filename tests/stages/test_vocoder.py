import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from facespeak_jax.data.examples.vocoder import MARGIN, VocoderExamples
from facespeak_jax.data.schema import BadExample
from facespeak_jax.speech import mel
from facespeak_jax.stages.stage import Adversarial, Stage
from facespeak_jax.stages.vocoder import VocoderStage, linear_distance, spectral_distance

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def stage(corpus):
    config = ConfigDict(
        {
            "seed": 0,
            "model": {
                "mel_mean": -6.0,
                "mel_std": 2.0,
                "vocoder": {"kind": "istft", "width": 32, "depth": 1},
            },
            "loss": {
                "mel": 45.0,
                "linear": 10.0,
                "gan": 1.0,
                "feature": 2.0,
                "critic_from": 2,
                "periods": {"periods": (2,), "widths": (4, 4)},
                "resolutions": {"windows": (640,), "width": 4, "depth": 1},
            },
            "data": {"frames": 16, "paths": [corpus], "weights": [1.0], "batch": 2},
            "train": {"dtype": "float32"},
        }
    )
    return VocoderStage(config)


def test_is_a_stage_with_the_right_parts(stage, params):
    assert isinstance(stage, Stage)
    assert isinstance(stage, Adversarial)
    assert set(params["model"]) == {"vocoder"}
    assert set(params["critic"]) == {"periods", "resolutions"}


def test_inner_frames_are_those_of_the_whole_clip(clips):
    maker = VocoderExamples(16, quietest=1.0)
    piece = maker(clips, np.random.default_rng(0), 0)["wave"]
    whole = clips[0].audio.astype(np.float32) / 32768
    start = np.flatnonzero(
        [np.array_equal(whole[i : i + 2560], piece[320:-320]) for i in range(len(whole) - 2559)]
    )
    assert len(start)
    inside = mel.log_mel(jnp.asarray(piece)[None])[0, MARGIN:-MARGIN]
    shifted = np.pad(whole, 320, mode="reflect")[start[0] :][: 2560 + 640]
    expected = mel.log_mel(jnp.asarray(shifted)[None])[0, 2:-2]
    np.testing.assert_allclose(inside, expected, atol=1e-4)


def test_short_clips_are_refused(clips):
    with pytest.raises(BadExample, match="fewer"):
        VocoderExamples(10_000)(clips, np.random.default_rng(0), 0)


def test_critic_waits_for_its_step(stage, params, batch):
    @jax.jit
    def both(step):
        _, outputs = stage.loss(params, batch, KEY, step)
        value, _ = stage.critic_loss(params, outputs.carry, batch, KEY, step)
        return outputs.metrics["vocoder/gan"], outputs.metrics["vocoder/feature"], value

    assert [float(x) for x in both(jnp.int32(1))] == [0.0, 0.0, 0.0]
    assert min(float(x) for x in both(jnp.int32(2))) > 0.0


def test_gradients_are_finite_with_the_critics_on(stage, params, batch):
    def total(parts):
        return stage.loss({**params, "model": parts}, batch, KEY, jnp.int32(5))[0]

    gradient = jax.jit(jax.grad(total))(params["model"])
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(gradient))
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(gradient)) > 0.0


def test_mel_distance_falls(stage, params, batch):
    optimizer = optax.adam(3e-3)

    @jax.jit
    def step(parts, state):
        (_, outputs), gradient = jax.value_and_grad(
            lambda p: stage.loss({**params, "model": p}, batch, KEY, jnp.int32(0)), has_aux=True
        )(parts)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(parts, updates), state, outputs.metrics["vocoder/mel"]

    parts, state = params["model"], optimizer.init(params["model"])
    values = []
    for _ in range(40):
        parts, state, value = step(parts, state)
        values.append(float(value))
    assert values[-1] < 0.5 * values[0]


def test_eval_shows_and_plays_both(stage, params, batch):
    metrics, pictures, sounds = stage.eval(params, batch, KEY)
    assert all(bool(jnp.isfinite(x)) for x in metrics.values())
    assert pictures["mel"].shape == (160, 16, 3)
    assert pictures["mel"].dtype == np.uint8
    assert sounds["made"].shape == sounds["recorded"].shape == (2560,)


def test_spectral_distance_is_zero_for_the_same_wave(batch):
    assert float(spectral_distance(batch["wave"], batch["wave"])) == 0.0
    assert float(spectral_distance(batch["wave"], 2 * batch["wave"])) == pytest.approx(
        np.log(2), abs=0.25
    )


def test_linear_distance_hears_a_pitch_that_mel_bands_hide():
    """Two harmonic sounds 3 % apart in pitch, beside the same sound with other phases."""
    seconds = np.arange(16_000) / 16_000
    rng = np.random.default_rng(0)

    def voice(pitch):
        waves = [np.sin(2 * np.pi * (k * pitch * seconds + rng.random())) for k in range(1, 30)]
        return jnp.asarray(0.02 * np.sum(waves, axis=0), jnp.float32)[None]

    same, moved = (float(linear_distance(voice(150), voice(p))) for p in (150, 154.5))
    assert moved > 1.5 * same
    one = voice(150)
    assert float(linear_distance(one, one)) == pytest.approx(0, abs=1e-4)
