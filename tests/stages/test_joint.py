import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import smoke
from facespeak_jax.data.examples.motion import HISTORY
from facespeak_jax.data.examples.sync import FRAMES, pictures
from facespeak_jax.face.generator import Render
from facespeak_jax.rates import SAMPLES_PER_FRAME
from facespeak_jax.stages import joint
from facespeak_jax.stages.sync import to_float

KEY = jax.random.key(0)
TRAINED = {
    "encoder",
    "motion_basis",
    "generator",
    "voice_reader",
    "voice_code",
    "text_encoder",
    "durations",
    "mel_decoder",
    "lip_mapper",
    "motion_prior",
    "motion_field",
}


def config():
    changed = smoke.get_config("joint")
    changed.data.tokens, changed.data.mels, changed.data.augment = 16, 192, 0.0
    return changed


def examples(clips, count):
    maker = joint.JointStage(config()).example()
    return [maker(clips, np.random.default_rng(i), i % len(clips)) for i in range(count)]


def test_pictures_boxes_and_sound_are_of_the_same_moment(clips):
    for index, example in enumerate(examples(clips, 8)):
        clip = clips[index % len(clips)]
        moment = int(example["first"] + example["shown"])
        assert HISTORY <= example["shown"] <= example["frame_count"] - FRAMES
        np.testing.assert_array_equal(
            example["frames"][example["shown"] :][:FRAMES],
            pictures(clip.frames[moment : moment + FRAMES], 64),
        )
        np.testing.assert_array_equal(
            example["mouth_box"], clip.mouth_box[moment : moment + FRAMES]
        )
        np.testing.assert_array_equal(example["wave"][: len(clip.audio)], clip.audio)
        assert len(clip.audio) == SAMPLES_PER_FRAME * len(clip.frames)


@pytest.fixture(scope="module")
def stage_and_batch(clips):
    made = examples(clips, 4)
    batch = {name: jnp.array([e[name] for e in made]) for name in made[0]}
    stage = joint.JointStage(config())
    return stage, batch, jax.jit(stage.init)(KEY, batch)


def test_everything_trains_but_reducer_and_judges(stage_and_batch):
    params = stage_and_batch[2]
    assert set(params["model"]) == TRAINED
    assert set(params["frozen"]) == {"reducer", "sync_expert"}
    assert set(params["critic"]) == {"critic"}


def painted(image):
    """Frames that are all paint."""
    shares = jnp.zeros_like(image).at[..., 2].set(1.0)
    return Render(image, jnp.zeros(image.shape)[..., :2], shares, image, jnp.zeros(image.shape))


def test_the_expert_sees_no_difference_in_real_mouths_and_some_in_others(stage_and_batch):
    stage, batch, params = stage_and_batch
    parts = {**params["frozen"], **params["model"]}
    said = stage.speech.modules.sentence(parts, stage._voice_of(parts, batch), batch, {})
    real = stage._shown(to_float(batch["frames"]), batch)
    same = stage._watched(parts, painted(real), said, batch)
    np.testing.assert_allclose(same.likeness, 1.0, atol=1e-5)
    other = stage._watched(parts, painted(real[::-1]), said, batch)
    assert other.likeness.max() < 0.999
    assert not np.allclose(other.logit, same.logit)


def test_without_an_expert_nothing_is_asked_of_one():
    changed = config()
    assert joint.JointStage(changed).sync_weight == joint.JointStage(changed).mouth_weight == 0
    changed.upstream.sync_expert = "somewhere"
    stage = joint.JointStage(changed)
    assert (stage.sync_weight, stage.mouth_weight) == (changed.loss.sync, changed.loss.mouth)


def test_loss_falls_and_evaluation_draws(stage_and_batch):
    stage, batch, params = stage_and_batch
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(2e-3))

    @jax.jit
    def step(model, state, index):
        def loss(model):
            key = jax.random.fold_in(KEY, index)
            return stage.loss(params | {"model": model}, batch, key, index)

        (value, outputs), grads = jax.value_and_grad(loss, has_aux=True)(model)
        updates, state = optimizer.update(grads, state)
        norms = {name: optax.global_norm(tree) for name, tree in grads.items()}
        return optax.apply_updates(model, updates), state, value, outputs, norms

    model, state, values = params["model"], optimizer.init(params["model"]), []
    for index in range(25):
        model, state, value, outputs, norms = step(model, state, jnp.int32(index))
        values.append(float(value))
    assert all(0 < float(norm) < np.inf for norm in norms.values())
    assert np.mean(values[-5:]) < 0.9 * np.mean(values[:3])
    critic_loss, _ = jax.jit(stage.critic_loss)(params, outputs.carry, batch, KEY, jnp.int32(0))
    assert np.isfinite(float(critic_loss))
    metrics, drawn, _ = stage.eval(params | {"model": model}, batch, KEY)
    assert all(np.isfinite(float(value)) for value in metrics.values())
    assert drawn["strip"].shape == (4 * 64, 5 * 64, 3)
