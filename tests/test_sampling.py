import functools
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax import export, model, sampling
from facespeak_jax.speech.text import TextFrontEnd
from tests import tiny


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    """The functions of `sampling`, bound to a model and compiled."""
    weights = export.load(tiny.write(tmp_path_factory.mktemp("weights")))
    machine = model.build(weights.config["model"])
    params = jax.device_put(weights.params)

    def bind(name, *static, **settings):
        function = functools.partial(getattr(sampling, name), machine, **settings)
        return functools.partial(jax.jit(function, static_argnames=static), params)

    return SimpleNamespace(
        see=bind("see"),
        render=bind("render"),
        read=bind("read"),
        say=bind("say", "mels", "guidance", steps=2),
        move=bind("move", steps=2),
        usual=lambda: sampling._usual_voice(machine, params, 1),
        encode=lambda image: machine.apply({"params": params}, image, method="encode"),
    )


def crops(people: int) -> jax.Array:
    shape = (people, tiny.SIZE, tiny.SIZE, 3)
    return jnp.asarray(np.random.default_rng(0).integers(0, 256, shape, np.uint8))


def test_pixels_survive_the_model_range():
    pixels = jnp.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    np.testing.assert_array_equal(sampling.to_pixels(sampling.to_float(pixels)), pixels)


def test_identity_and_motion_add_up_to_the_style(machine):
    face = machine.see(crops(2))
    style, _ = jax.jit(machine.encode)(sampling.to_float(crops(2)))
    np.testing.assert_allclose(face.identity + face.motion, style, rtol=1e-5, atol=1e-5)


def test_padding_and_batching_change_nothing(machine):
    """A text alone in its own length, and in a padded batch beside a longer one, sound alike."""
    texts = [TextFrontEnd().encode(text) for text in ("Hello.", "It was not my idea at all.")]
    face = machine.see(crops(2))

    lengths = jnp.array([len(text) for text in texts])
    tokens = jnp.stack([np.pad(text, (0, 40 - len(text))) for text in texts])
    keys = jax.vmap(jax.random.key)(jnp.arange(2))
    reading = machine.read(face.identity, tokens, lengths)
    # Guidance is a difference of two such velocities, and multiplies their rounding.
    both = machine.say(reading, keys, mels=4 * 24, guidance=0.0)
    head, lip = machine.move(face, both, keys)

    one = sampling.Face(*jax.tree.map(lambda x: x[:1], tuple(face)))
    reading = machine.read(one.identity, jnp.asarray(texts[0][None]), lengths[:1])
    mels = int(reading.durations.sum())
    alone = machine.say(reading, keys[:1], mels=mels, guidance=0.0)
    frames = int(alone.frames[0])
    assert mels == 4 * frames
    assert int(both.frames[0]) == frames
    np.testing.assert_allclose(both.mel[0, :mels], alone.mel[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(both.wave[0, : 160 * mels], alone.wave[0], rtol=1e-5, atol=1e-5)
    head_alone, lip_alone = machine.move(one, alone, keys[:1])
    np.testing.assert_allclose(head[0, :frames], head_alone[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(lip[0, :frames], lip_alone[0], rtol=1e-5, atol=1e-5)


def test_frames_are_drawn_independently(machine):
    """Drawing in chunks is drawing at once."""
    face = machine.see(crops(1))
    head = jax.random.normal(jax.random.key(1), (1, 4, 6))
    lip = jax.random.normal(jax.random.key(2), (1, 4, 4))
    whole = machine.render(face, head, lip)
    parts = [machine.render(face, head[:, i : i + 2], lip[:, i : i + 2]) for i in (0, 2)]
    difference = np.concatenate(parts, axis=1).astype(int) - np.asarray(whole)
    assert np.abs(difference).max() <= 1
    assert (whole[:, 0] != whole[:, 1]).any()


def test_guidance_leads_away_from_the_usual_voice_and_leaves_that_as_it_is(machine):
    tokens = jnp.asarray(TextFrontEnd().encode("Hello.")[None])
    reading = machine.read(machine.see(crops(1)).identity, tokens, jnp.array([tokens.shape[1]]))
    mels, keys = int(reading.durations.sum()), jax.random.key(0)[None]

    def mel(reading, guidance):
        return np.asarray(machine.say(reading, keys, mels=mels, guidance=guidance).mel)

    usual = reading._replace(code=machine.usual())
    np.testing.assert_allclose(mel(usual, 0.0), mel(usual, 2.0), atol=1e-5)
    plain, led = mel(reading, 0.0), mel(reading, 1.0)
    assert np.abs(led - plain).max() > 1e-3
    away = np.linalg.norm(led - mel(usual, 0.0)) / np.linalg.norm(plain - mel(usual, 0.0))
    assert away > 1.2
