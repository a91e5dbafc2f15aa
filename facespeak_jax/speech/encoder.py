"""The text encoder: what is said, coloured by who says it."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from facespeak_jax import layers
from facespeak_jax.rates import MELS


class Prenet(nn.Module):
    """Residual convolutions that let neighbouring phonemes colour each other, (b, l, c)."""

    depth: int = 2
    kernel: int = 5
    dropout: float = 0.1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b l c"], valid: Bool[Array, "b l"], *, train: bool = False
    ) -> Float[Array, "b l c"]:
        for index in range(self.depth):
            y = nn.LayerNorm(dtype=self.dtype, name=f"norm_{index}")(x)
            y = layers.Conv1d(x.shape[-1], self.kernel, dtype=self.dtype, name=f"conv_{index}")(
                y, valid
            )
            x = x + nn.Dropout(self.dropout)(nn.gelu(y), deterministic=not train)
        return x


class TextEncoder(nn.Module):
    """Phonemes and a voice code to features e_t (b, l, width) and the mel each is centred on.

    `symbols` must exceed every token: a larger token gives NaN. The prior is in normalised log-mel.
    """

    symbols: int
    width: int = 160
    depth: int = 4
    heads: int = 2
    expand: int = 2
    kernel: int = 3
    prenet: int = 2
    dropout: float = 0.1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        tokens: Int[Array, "b l"],
        lengths: Int[Array, " b"],
        code: Float[Array, "b v"],
        *,
        train: bool = False,
    ) -> tuple[Float[Array, "b l {self.width}"], Float[Array, "b l 80"]]:
        valid = layers.mask(lengths, tokens.shape[1])
        unit = nn.initializers.normal(1.0)
        x = nn.Embed(
            self.symbols, self.width, embedding_init=unit, dtype=self.dtype, name="symbol"
        )(tokens)
        x = x + nn.Dense(self.width, dtype=self.dtype, name="voice")(code)[:, None, :]
        x = Prenet(self.prenet, dropout=self.dropout, dtype=self.dtype, name="prenet")(
            x, valid, train=train
        )
        for index in range(self.depth):
            block = layers.TransformerBlock(
                self.heads,
                expand=self.expand,
                kernel=self.kernel,
                dropout=self.dropout,
                dtype=self.dtype,
                name=f"block_{index}",
            )
            x = block(x, valid, code, train=train)
        e_t = layers.hide(layers.AdaptiveNorm(dtype=self.dtype, name="norm")(x, code), valid)
        prior = nn.Dense(MELS, name="prior")(e_t.astype(jnp.float32))
        return e_t, layers.hide(prior, valid)
