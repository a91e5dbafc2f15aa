"""What the shipped generator is measured against: one of LIA's size, as one would first write it.

Modulated convolutions, bilinear resizing and a warp at every one of six scales, in the shapes of
Wang et al. 2022: 22 million parameters and 30 GFLOP a frame at 256 pixels. Nobody trains it.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

COARSEST = 8
WIDTHS = (512, 512, 512, 256, 128, 64)  # of the maps at 8, 16, …, 256
STYLE = 512


class Modulated(nn.Module):
    """A convolution of inputs that a style scales, doubling the resolution where asked to."""

    width: int
    kernel: int = 3
    up: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], style: Float[Array, "n s"]
    ) -> Float[Array, "n hh ww {self.width}"]:
        size = (self.kernel, self.kernel)
        x = x * nn.Dense(x.shape[-1], dtype=jnp.bfloat16)(style)[:, None, None]
        if self.up:
            return nn.ConvTranspose(self.width, size, (2, 2), dtype=jnp.bfloat16)(x)
        return nn.Conv(self.width, size, dtype=jnp.bfloat16)(x)


class PlainGenerator(nn.Module):
    """Frames as the sum of colours read off the warped features of each scale."""

    @nn.compact
    def __call__(
        self, pyramid: tuple[Float[Array, "n _ _ _"], ...], style: Float[Array, "n s"]
    ) -> Float[Array, "n h w 3"]:
        n = style.shape[0]
        start = self.param("start", nn.initializers.normal(1.0), (1, 4, 4, WIDTHS[0]))
        x = jnp.broadcast_to(start, (n, *start.shape[1:])).astype(jnp.bfloat16)
        flow, colours = jnp.zeros((n, 4, 4, 3)), jnp.zeros((n, 4, 4, 3))
        for source in pyramid:
            size, width = source.shape[1], source.shape[3]
            x = nn.leaky_relu(Modulated(width, up=True)(x, style), 0.2)
            x = nn.leaky_relu(Modulated(width)(x, style), 0.2)
            shape = (n, size, size, 3)
            flow = jax.image.resize(flow, shape, "bilinear") + Modulated(3, 1)(x, style)
            moved = row_gather(source, jnp.tanh(flow[..., :2])) * nn.sigmoid(flow[..., 2:])
            x = (moved + (1 - nn.sigmoid(flow[..., 2:])) * x).astype(jnp.bfloat16)
            colours = jax.image.resize(colours, shape, "bilinear")
            colours = colours + nn.Conv(3, (1, 1), dtype=jnp.bfloat16)(moved)
        return colours


def row_gather(
    source: Float[Array, "n h w c"], flow: Float[Array, "n h w 2"]
) -> Float[Array, "n h w c"]:
    """Bilinear samples, each of four rows of a list of the pixels of all pictures."""
    n, h, w, c = source.shape
    column = jnp.clip(jnp.arange(w)[None, None, :] + flow[..., 0] * w, 0, w - 1)
    row = jnp.clip(jnp.arange(h)[None, :, None] + flow[..., 1] * h, 0, h - 1)
    left, top = jnp.floor(column).astype(int), jnp.floor(row).astype(int)
    first = h * w * jnp.arange(n)[:, None, None]
    rows = source.reshape(n * h * w, c)
    total = jnp.zeros(())
    for down in (0, 1):
        for right in (0, 1):
            y, x = jnp.minimum(top + down, h - 1), jnp.minimum(left + right, w - 1)
            weight = (1 - jnp.abs(row - top - down)) * (1 - jnp.abs(column - left - right))
            total = total + rows[first + y * w + x] * weight[..., None]
    return total


def shapes(frames: int) -> list[tuple[int, ...]]:
    """Of the source features that are warped, coarse to fine."""
    sizes = [COARSEST * 2**level for level in range(len(WIDTHS))]
    return [(frames, size, size, width) for size, width in zip(sizes, WIDTHS, strict=True)]
