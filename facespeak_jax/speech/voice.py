"""The voice that goes with a face: read off its identity as coordinates, and the code of those."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


class VoiceReader(nn.Module):
    """f_id to the coordinates of a voice, each of about unit deviation among people.

    The face stage teaches it where a corpus knows its voices, since it takes many people to learn
    what of a face tells a voice and none of them need speak. No face, however strange, is read as a
    voice farther out than `reach`: what comes after has heard none there.
    """

    coordinates: int = 16
    width: int = 256
    reach: float = 3.0

    @nn.compact
    def __call__(self, identity: Float[Array, "*b s"]) -> Float[Array, "*b {self.coordinates}"]:
        x = nn.LayerNorm(name="norm")(identity)
        x = nn.gelu(nn.Dense(self.width, name="hidden")(x))
        x = nn.Dense(self.coordinates, name="coordinates")(x)
        return self.reach * jnp.tanh(x / self.reach)


class VoiceCode(nn.Module):
    """The coordinates of a voice to a code of unit variance, which text and mel are coloured by.

    In training the code gains noise of deviation `noise` from the "dropout" stream, so that a voice
    misread a little is still said well.
    """

    size: int = 64
    noise: float = 0.2
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, coordinates: Float[Array, "b k"], *, train: bool = False
    ) -> Float[Array, "b {self.size}"]:
        # Without a bias the norm would lose how far a voice is from the usual one.
        bias = nn.initializers.normal(1.0)
        x = nn.Dense(self.size, bias_init=bias, dtype=self.dtype, name="embedding")(coordinates)
        code = nn.LayerNorm(use_bias=False, use_scale=False, dtype=self.dtype, name="unit")(x)
        if not train:
            return code
        shaken = jax.random.normal(self.make_rng("dropout"), code.shape, code.dtype)
        return code + self.noise * shaken
