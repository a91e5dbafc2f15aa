"""The visual encoder: an image becomes a style vector and the feature pyramid that G warps."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Float

from facespeak_jax.face.convolution import ResidualDown, activation, space_to_depth

COARSEST = 8  # the resolution of the coarsest pyramid map


class VisualEncoder(nn.Module):
    """Residual convolution encoder E_v, after LIA's appearance encoder (Wang et al. 2022).

    Pixels beyond the finest map (8 · 2^(levels − 1)) go into channels first: convolutions of few
    channels at full resolution would take most of the time and add little.
    """

    style: int = 256  # width S of the style vector
    widths: tuple[int, ...] = (192, 128, 64, 48)  # of the maps at 8, 16, 32, …
    bottleneck: int = 256  # width of the 4 × 4 map below them
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, image: Float[Array, "b h w 3"]
    ) -> tuple[Float[Array, "b {self.style}"], tuple[Float[Array, "b _ _ _"], ...]]:
        """Returns f and the maps coarse → fine; image in [−1, 1], square.

        Raises ValueError if the image is not a multiple of the finest map.
        """
        finest = COARSEST * 2 ** (len(self.widths) - 1)
        patch, rest = divmod(image.shape[1], finest)
        if image.shape[1] != image.shape[2] or rest or not patch:
            raise ValueError(f"image {image.shape} is not square of a multiple of {finest} pixels")
        x = space_to_depth(image.astype(self.dtype), patch)
        x = activation(nn.Conv(self.widths[-1], (3, 3), dtype=self.dtype, name="stem")(x))
        pyramid = [x]
        for level, width in reversed(list(enumerate(self.widths[:-1]))):
            x = ResidualDown(width, dtype=self.dtype, name=f"down{COARSEST * 2**level}")(x)
            pyramid.append(x)
        x = ResidualDown(self.bottleneck, dtype=self.dtype, name="down4")(x)
        # Begins small, so that a motion of a few directions is heard beside the identity.
        small = nn.initializers.variance_scaling(0.5, "fan_in", "truncated_normal")
        f = nn.Dense(self.style, kernel_init=small, name="style")(
            x.reshape(x.shape[0], -1).astype(jnp.float32)
        )
        return f, tuple(reversed(pyramid))
