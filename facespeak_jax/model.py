"""FaceSpeak: every part of the system as one Linen module; parts are the keys of its parameters.

A part that the config leaves out is absent: a stage builds, trains and stores what it needs.
"""

from collections.abc import Mapping
from typing import Any, TypeVar

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from ml_collections import ConfigDict

from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.face.encoder import VisualEncoder
from facespeak_jax.face.generator import Generator, Render
from facespeak_jax.face.motion_basis import Motion, MotionBasis
from facespeak_jax.motion.lip_mapper import LipMapper
from facespeak_jax.motion.reducer import NoiseReducer
from facespeak_jax.motion.sampler import MotionField, MotionPrior
from facespeak_jax.speech.decoder import MelDecoder
from facespeak_jax.speech.durations import DurationPredictor
from facespeak_jax.speech.encoder import TextEncoder
from facespeak_jax.speech.vocoder import HiFiGAN, ISTFTVocoder
from facespeak_jax.speech.voice import VoiceCode, VoiceReader

Part = TypeVar("Part", bound=nn.Module)
Arguments = Mapping[str, Any] | ConfigDict
PARTS: dict[str, type[nn.Module]] = {
    "encoder": VisualEncoder,
    "motion_basis": MotionBasis,
    "generator": Generator,
    "voice_reader": VoiceReader,
    "voice_code": VoiceCode,
    "text_encoder": TextEncoder,
    "durations": DurationPredictor,
    "mel_decoder": MelDecoder,
    "lip_mapper": LipMapper,
    "reducer": NoiseReducer,
    "motion_prior": MotionPrior,
    "motion_field": MotionField,
}  # and "vocoder", which is one of:
VOCODERS: dict[str, type[nn.Module]] = {"istft": ISTFTVocoder, "hifigan": HiFiGAN}
NUMBERS = ("size", "mel_mean", "mel_std")  # facts that no part is constructed with


class BadModelConfig(FaceSpeakError):
    """A model config names a part or an argument that does not exist."""


def _given(module: Part | None) -> Part:
    """A part that a method needs; who calls the method has built the model with it."""
    assert module is not None, "the model was built without this part"
    return module


class FaceSpeak(nn.Module):
    """The parts under their names. B people, L phonemes, M mel frames, T = M/4 video frames.

    Every method runs one part: `model.apply({"params": params}, image, method="encode")`.
    """

    encoder: VisualEncoder | None = None
    motion_basis: MotionBasis | None = None
    generator: Generator | None = None
    voice_reader: VoiceReader | None = None
    voice_code: VoiceCode | None = None
    text_encoder: TextEncoder | None = None
    durations: DurationPredictor | None = None
    mel_decoder: MelDecoder | None = None
    vocoder: ISTFTVocoder | HiFiGAN | None = None
    lip_mapper: LipMapper | None = None
    reducer: NoiseReducer | None = None
    motion_prior: MotionPrior | None = None
    motion_field: MotionField | None = None

    def encode(
        self, image: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, "b s"], tuple[Float[Array, "b _ _ _"], ...]]:
        """Image in [-1, 1] -> style f and its feature pyramid, coarse to fine."""
        return _given(self.encoder)(image)

    def split(self, f: Float[Array, "*b s"]) -> Motion:
        """f -> coefficients, motion f_m and identity f_id = f − f_m."""
        return _given(self.motion_basis)(f)

    def head_motion(self, alpha: Float[Array, "*b d"]) -> Float[Array, "*b s"]:
        """α_head -> f_head."""
        return _given(self.motion_basis).head_motion(alpha)

    def lip_motion(self, alpha: Float[Array, "*b d"]) -> Float[Array, "*b s"]:
        """α_lip -> f_lip."""
        return _given(self.motion_basis).lip_motion(alpha)

    def render(
        self,
        image: Float[Array, "b h w 3"],
        pyramid: tuple[Float[Array, "b _ _ _"], ...],
        source_motion: Float[Array, "b s"],
        head_slot: Float[Array, "b t s"],
        lip_slot: Float[Array, "b t s"],
    ) -> Render:
        """A source and T styles -> T frames; head_slot = f_id + f_head, lip_slot = f_id + f_lip."""
        return _given(self.generator)(image, pyramid, source_motion, head_slot, lip_slot)

    def voice(self, identity: Float[Array, "b s"], *, train: bool = False) -> Float[Array, "b v"]:
        """f_id -> the code of the voice that goes with it."""
        return self.known_voice(_given(self.voice_reader)(identity), train=train)

    def known_voice(
        self, coordinates: Float[Array, "b k"], *, train: bool = False
    ) -> Float[Array, "b v"]:
        """The coordinates of a voice -> its code."""
        return _given(self.voice_code)(coordinates, train=train)

    def text(
        self,
        tokens: Int[Array, "b l"],
        lengths: Int[Array, " b"],
        code: Float[Array, "b v"],
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "b l c"], Float[Array, "b l 80"]]:
        """Phonemes -> e_t and the mel prior of each phoneme."""
        return _given(self.text_encoder)(tokens, lengths, code, train=train)

    def log_durations(
        self,
        e_t: Float[Array, "b l c"],
        lengths: Int[Array, " b"],
        code: Float[Array, "b v"],
        *,
        train: bool = False,
    ) -> Float[Array, "b l"]:
        """e_t -> log(1 + mel frames) of each phoneme."""
        return _given(self.durations)(e_t, lengths, code, train=train)

    def mel_velocity(
        self,
        x_t: Float[Array, "b m 80"],
        t: Float[Array, " b"],
        text: Float[Array, "b m c"],
        code: Float[Array, "b v"],
        mel_lengths: Int[Array, " b"],
        *,
        train: bool = False,
    ) -> Float[Array, "b m 80"]:
        """The OT-CFM velocity of the normalised log-mel."""
        return _given(self.mel_decoder)(x_t, t, text, code, mel_lengths, train=train)

    def vocode(
        self, mel: Float[Array, "b m 80"], lengths: Int[Array, " b"] | None = None
    ) -> Float[Array, "b n"]:
        """Normalised log-mel -> wave of 160·M samples."""
        return _given(self.vocoder)(mel, lengths)

    def lips(
        self,
        text: Float[Array, "b m c"],
        prior: Float[Array, "b m 80"],
        loudness: Float[Array, "b m"],
        source: Float[Array, "b d"],
        lengths: Int[Array, " b"],
        *,
        train: bool = False,
    ) -> Float[Array, "b t d"]:
        """Upsampled text, energy and the portrait's α_lip -> α_lip; `lengths` in video frames."""
        return _given(self.lip_mapper)(text, prior, loudness, source, lengths, train=train)

    def reduce(
        self, alpha_head: Float[Array, "b t d"], lengths: Int[Array, " b"]
    ) -> Float[Array, "b t c"]:
        """α_head -> the standardised motion code f_c."""
        return _given(self.reducer).encode(alpha_head, lengths)

    def restore(
        self,
        code: Float[Array, "b t c"],
        source: Float[Array, "b d"],
        lengths: Int[Array, " b"],
    ) -> Float[Array, "b t d"]:
        """f_c and the portrait's α_head -> α_head."""
        return _given(self.reducer).decode(code, source, lengths)

    def motion_mean(
        self,
        text: Float[Array, "b t c"],
        source: Float[Array, "b d"],
        lengths: Int[Array, " b"],
        *,
        train: bool = False,
    ) -> Float[Array, "b t k"]:
        """Text at 25 Hz and the portrait's α_head -> μ, the mean of the starting noise."""
        return _given(self.motion_prior)(text, source, lengths, train=train)

    def motion_velocity(
        self,
        x: Float[Array, "b t k"],
        time: Float[Array, " b"],
        mu: Float[Array, "b t k"],
        source: Float[Array, "b d"],
        history: Float[Array, "b p k"],
        lengths: Int[Array, " b"],
        *,
        train: bool = False,
    ) -> Float[Array, "b t k"]:
        """The OT-CFM velocity of the motion code."""
        return _given(self.motion_field)(x, time, mu, source, history, lengths, train=train)


def build(config: Arguments, *, dtype: Any = jnp.float32) -> FaceSpeak:
    """The model with the parts of `config` (part -> constructor arguments), computing in `dtype`.

    The vocoder's arguments hold its `kind`, too: istft or hifigan. Raises BadModelConfig.
    """
    known = (*PARTS, "vocoder", *NUMBERS)
    unknown = [name for name in config if name not in known]
    if unknown:
        raise BadModelConfig(f"no part {', '.join(unknown)}; there are {', '.join(known)}")
    names = [name for name in config if name not in NUMBERS]
    parts: dict[str, Any] = {name: part(name, config[name], dtype) for name in names}
    return FaceSpeak(**parts)


def part(name: str, config: Arguments, dtype: Any = jnp.float32) -> nn.Module:
    """One part from its constructor arguments. Raises BadModelConfig."""
    arguments = {
        key: tuple(value) if isinstance(value, list) else value for key, value in config.items()
    }
    if name == "vocoder":
        kind = arguments.pop("kind", None)
        if kind not in VOCODERS:
            raise BadModelConfig(f"vocoder.kind is {kind!r}; it must be {' or '.join(VOCODERS)}")
        module = VOCODERS[kind]
    else:
        module = PARTS[name]
    if "dtype" in module.__dataclass_fields__:
        arguments["dtype"] = dtype
    try:
        return module(**arguments)
    except TypeError as error:
        allowed = [f for f in module.__dataclass_fields__ if f not in ("dtype", "parent", "name")]
        raise BadModelConfig(
            f"model.{name} = {dict(config)}: {error}; the arguments are {', '.join(allowed)}"
        ) from error
