"""What the lip mapper is given of a speech: everything, or for a comparison less of it."""

from collections.abc import Collection

import jax.numpy as jnp
from jaxtyping import Array, Float

EVERYTHING = ("text", "prior", "energy")
SOUND = ("mel", "energy")  # as a cascade has it: lips that follow a finished sound


def heard(
    names: Collection[str],
    features: Float[Array, "b m c"],
    prior: Float[Array, "b m k"],
    mel: Float[Array, "b m k"],
    energy: Float[Array, "b m"],
) -> tuple[Float[Array, "b m c"], Float[Array, "b m k"], Float[Array, "b m"]]:
    """The mapper's three inputs, with zeros in place of what is not named.

    "text" are the upsampled features of the text, "prior" the mel that it predicts, "energy" the
    loudness; "mel" puts the finished mel in the prior's place. Raises ValueError for another name.
    """
    if unknown := set(names) - {*EVERYTHING, *SOUND}:
        raise ValueError(f"nothing is called {', '.join(sorted(unknown))}")
    spectrum = mel if "mel" in names else prior if "prior" in names else jnp.zeros_like(prior)
    return (
        features if "text" in names else jnp.zeros_like(features),
        spectrum,
        energy if "energy" in names else jnp.zeros_like(energy),
    )
