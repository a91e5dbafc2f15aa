"""What a trained model does, as pure functions of its parameters that can be jitted and sharded.

`params` maps the name of a part to its parameters, as in a weights directory. Batches come first;
padding never changes what comes out before it.
"""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Int32, Key, UInt8

from facespeak_jax import flow, layers
from facespeak_jax.face.generator import Render, decided, enlarge
from facespeak_jax.model import FaceSpeak
from facespeak_jax.motion.lip_mapper import energy
from facespeak_jax.motion.reducer import NoiseReducer
from facespeak_jax.motion.sampler import MotionField, MotionPrior, sample_motion
from facespeak_jax.rates import MELS_PER_FRAME
from facespeak_jax.speech import durations as timing
from facespeak_jax.speech.voice import VoiceReader

Params = dict[str, Any]

# The parts each request needs.
FACE = ("encoder", "motion_basis", "generator")
SPEECH = ("voice_reader", "voice_code", "text_encoder", "durations", "mel_decoder", "vocoder")
MOTION = ("lip_mapper", "reducer", "motion_prior", "motion_field")

# Midpoint steps, two evaluations each.
MEL_STEPS = 5
MOTION_STEPS = 5
TEMPERATURE = 0.667  # of the mel's noise: calmer than training's, and clearer
# How much farther from the usual voice a mel is steered than its own code leads, as classifier-free
# guidance does (Ho & Salimans 2022): a small decoder renders voices more alike than they are.
GUIDANCE = 1.0


class Face(NamedTuple):
    """A portrait as the model knows it."""

    image: Float[Array, "b h w 3"]
    pyramid: tuple[Float[Array, "b _ _ _"], ...]
    alpha_head: Float[Array, "b head"]
    alpha_lip: Float[Array, "b lip"]
    motion: Float[Array, "b s"]
    identity: Float[Array, "b s"]


class Reading(NamedTuple):
    """A text as a face would read it: L phonemes and how long each lasts."""

    code: Float[Array, "b v"]
    features: Float[Array, "b l c"]
    prior: Float[Array, "b l 80"]
    durations: Int32[Array, "b l"]  # mel frames; the sum is a whole number of video frames


class Speech(NamedTuple):
    """A spoken text of up to M mel frames and 160·M samples."""

    features: Float[Array, "b m c"]  # the text's, upsampled
    prior: Float[Array, "b m 80"]
    mel: Float[Array, "b m 80"]  # normalised log-mel
    wave: Float[Array, "b n"]
    frames: Int32[Array, " b"]  # video frames that count


def to_float(pixels: UInt8[Array, "*b h w 3"]) -> Float[Array, "*b h w 3"]:
    """Pixels as the model sees them, in [-1, 1]."""
    return pixels.astype(jnp.float32) / 127.5 - 1.0


def to_pixels(image: Float[Array, "*b h w 3"]) -> UInt8[Array, "*b h w 3"]:
    """The inverse of `to_float`; colours beyond its range are clipped."""
    return jnp.clip(jnp.rint((image + 1.0) * 127.5), 0, 255).astype(jnp.uint8)


def see(model: FaceSpeak, params: Params, pixels: UInt8[Array, "b h w 3"]) -> Face:
    """Canonical crops become faces: identity, pose and the pyramid to be warped."""
    image = to_float(pixels)
    style, pyramid = _run(model, params, "encode", image)
    return Face(image, pyramid, *_run(model, params, "split", style))


def render(
    model: FaceSpeak,
    params: Params,
    face: Face,
    alpha_head: Float[Array, "b t head"],
    alpha_lip: Float[Array, "b t lip"],
) -> UInt8[Array, "b t h w 3"]:
    """Frames of each face with the head and lips given."""
    return to_pixels(_rendered(model, params, face, alpha_head, alpha_lip).image)


def render_photograph(
    model: FaceSpeak,
    params: Params,
    face: Face,
    alpha_head: Float[Array, "b t head"],
    alpha_lip: Float[Array, "b t lip"],
    photograph: UInt8[Array, "b height width 3"],
) -> UInt8[Array, "b t height width 3"]:
    """The frames of `render` at the resolution of a finer picture of the same square."""
    rendered = _rendered(model, params, face, alpha_head, alpha_lip)
    return to_pixels(enlarge(rendered, to_float(photograph)).image)


def _rendered(
    model: FaceSpeak,
    params: Params,
    face: Face,
    alpha_head: Float[Array, "b t head"],
    alpha_lip: Float[Array, "b t lip"],
) -> Render:
    head = _run(model, params, "head_motion", alpha_head)
    lip = _run(model, params, "lip_motion", alpha_lip)
    identity = face.identity[:, None, :]
    source = (face.image, face.pyramid, face.motion)
    rendered = _run(model, params, "render", *source, identity + head, identity + lip)
    return decided(rendered, face.image)


def read(
    model: FaceSpeak,
    params: Params,
    identity: Float[Array, "b s"],
    tokens: Int[Array, "b l"],
    lengths: Int[Array, " b"],
) -> Reading:
    """The text with the timing of the voice that fits each face."""
    code = _run(model, params, "voice", identity)
    features, prior = _run(model, params, "text", tokens, lengths, code)
    log_durations = _run(model, params, "log_durations", features, lengths, code)
    return Reading(code, features, prior, timing.to_frames(log_durations, lengths))


def say(
    model: FaceSpeak,
    params: Params,
    reading: Reading,
    keys: Key[Array, " b"],
    *,
    mels: int,
    steps: int = MEL_STEPS,
    guidance: float = GUIDANCE,
) -> Speech:
    """Speaks a reading; `mels`, at least its mel frames and a multiple of four, is static.

    With a `guidance` of 0 the mel follows its own voice code alone.
    """
    features = timing.upsample(reading.features, reading.durations, mels)
    prior = timing.upsample(reading.prior, reading.durations, mels)
    lengths = jnp.sum(reading.durations, axis=1, dtype=jnp.int32)
    text = jnp.concatenate([prior, features], axis=-1)

    usual = _usual_voice(model, params, len(reading.code))

    def velocity(x: Float[Array, "b m 80"], time: Float[Array, " b"]) -> Float[Array, "b m 80"]:
        own, other = (
            _run(model, params, "mel_velocity", x, time, text, code, lengths)
            for code in (reading.code, usual)
        )
        return own + guidance * (own - other)

    noise = jax.vmap(lambda key: flow.frame_noise(key, mels, prior.shape[-1]))(keys)
    mel = flow.Midpoint().solve(velocity, TEMPERATURE * noise, steps)
    mel = layers.hide(mel, layers.mask(lengths, mels))
    wave = _run(model, params, "vocode", mel, lengths)
    return Speech(features, prior, mel, wave, lengths // MELS_PER_FRAME)


def _usual_voice(model: FaceSpeak, params: Params, count: int) -> Float[Array, "b v"]:
    """The code of the voice in the middle of all, whose coordinates are zero."""
    coordinates = cast(VoiceReader, model.voice_reader).coordinates
    return _run(model, params, "known_voice", jnp.zeros((count, coordinates)))


def move(
    model: FaceSpeak,
    params: Params,
    face: Face,
    speech: Speech,
    keys: Key[Array, " b"],
    *,
    steps: int = MOTION_STEPS,
) -> tuple[Float[Array, "b t head"], Float[Array, "b t lip"]]:
    """Head motion invented for a speech, and the lips that follow it: α_head and α_lip."""
    alpha_lip = _run(
        model,
        params,
        "lips",
        speech.features,
        speech.prior,
        energy(speech.mel),
        face.alpha_lip,
        speech.frames,
    )
    alpha_head = sample_motion(
        cast(MotionPrior, model.motion_prior),
        cast(MotionField, model.motion_field),
        cast(NoiseReducer, model.reducer),
        params,
        speech.features,
        face.alpha_head,
        speech.frames,
        keys,
        solver=flow.Midpoint(),
        steps=steps,
    )
    return alpha_head, alpha_lip


def _run(model: FaceSpeak, params: Params, method: str, *arguments: Any) -> Any:
    return model.apply({"params": params}, *arguments, method=method)
