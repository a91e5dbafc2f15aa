"""The image critic: patch-wise real or rendered, and the features that both are compared by."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from facespeak_jax.face.convolution import ResidualDown, activation, space_to_depth


class ImageCritic(nn.Module):
    """Small residual patch critic; used in training only."""

    widths: tuple[int, ...] = (32, 64, 128, 128)  # of the stem and of each halving after it
    patch: int = 2  # pixels per side put into channels before the stem
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, image: Float[Array, "n h w 3"]
    ) -> tuple[Float[Array, "n _ _ 1"], tuple[Float[Array, "n _ _ _"], ...]]:
        """Returns logits per patch (positive: real) and the features fine → coarse."""
        x = space_to_depth(image.astype(self.dtype), self.patch)
        x = activation(nn.Conv(self.widths[0], (3, 3), dtype=self.dtype, name="stem")(x))
        features = [x]
        for index, width in enumerate(self.widths[1:]):
            x = ResidualDown(width, dtype=self.dtype, name=f"down{index}")(x)
            features.append(x)
        logits = nn.Conv(1, (3, 3), name="logits")(activation(x).astype(jnp.float32))
        return logits, tuple(features)
