"""How weights are run: what the product does, or a change whose effect is to be measured."""

from dataclasses import dataclass
from typing import Literal

from facespeak_jax import sampling
from facespeak_jax.motion import hearing


@dataclass(frozen=True)
class Manner:
    """The defaults are the product's.

    Steps are those of the solver; with 0 of them the flow is left out and the mean that its noise
    is drawn around stands in for it: what regression would give. The other fields are the keys of
    the same names in a training config's `loss`.
    """

    mel_steps: int = sampling.MEL_STEPS
    motion_steps: int = sampling.MOTION_STEPS
    voice_of: Literal["identity", "style"] = "identity"
    lips_hear: tuple[str, ...] = hearing.EVERYTHING
    head_hears: bool = True
    reduced: bool = False  # of `reconstruct`: the head's motion through the noise reducer
