"""What the text alone asks of a head: a nod on a stressed vowel, a turn down at the end.

It is small beside all that a head does (0.4 % of the variance of alpha_head in the corpus `heads`):
a deep network loses it in its noise, and a vector field that can hardly see it in mu need not pass
it on. So it is linear, is learned by the prior's likelihood, and is added to what the flow samples.
"""

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from facespeak_jax import layers

RESPONSE = 12  # frames before and after a cue in which the head responds to it


class Accent(nn.Module):
    """Text at 25 Hz (b, t, c) -> what it adds to each frame's code (b, t, latent).

    Each of a few numbers that a frame of text is read for, the cues, has one response in time:
    so little that no sentence can be learned by heart. No text (zeros) adds nothing.
    """

    latent: int
    cues: int

    def setup(self):
        self.normal = nn.LayerNorm(use_scale=False, use_bias=False)
        self.listen = nn.Dense(self.cues, use_bias=False)
        self.respond = nn.Conv(
            self.latent, (2 * RESPONSE + 1,), use_bias=False, kernel_init=nn.initializers.zeros
        )

    def hear(
        self, text: Float[Array, "b t c"], valid: Bool[Array, "b t"]
    ) -> Float[Array, "b t {self.cues}"]:
        """The cues."""
        return self.listen(self.normal(layers.hide(text.astype(jnp.float32), valid)))

    def __call__(
        self, text: Float[Array, "b t c"], valid: Bool[Array, "b t"]
    ) -> Float[Array, "b t {self.latent}"]:
        return layers.hide(self.respond(self.hear(text, valid)), valid)
