"""The motion sampler: head motion invented for a sentence, different for every seed.

A prior network reads the text at 25 Hz and gives a mean mu for every frame; a vector field carries
noise drawn around it, N(mu, I), to a code f_c of the noise reducer (optimal-transport flow
matching). Long utterances are sampled window by window, each seeing the last frames of the one
before, and the first one the portrait's pose, held: so a head sets out from where it is.

A part of mu, the accent, is a linear response to the text (`accent.py`), and the flow is of what
it leaves.

Gulati et al. 2020, "Conformer" (the block); Lipman et al. 2022 (the flow); paper, motion sampler.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from facespeak_jax import flow, layers, rates
from facespeak_jax.motion.accent import Accent
from facespeak_jax.motion.reducer import NoiseReducer

HISTORY = 8  # frames before its own that a window sees
WINDOW = 128  # frames sampled at once; what the vector field is trained on
REACH = 32  # frames to either side that attention sees


def pool(x: Float[Array, "b m c"]) -> Float[Array, "b t c"]:
    """The mean of each four mel frames: 100 Hz to 25 Hz. m must be a multiple of four."""
    b, m, c = x.shape
    return jnp.mean(
        x.reshape(b, m // rates.MELS_PER_FRAME, rates.MELS_PER_FRAME, c), axis=2, dtype=jnp.float32
    )


class ConvolutionModule(nn.Module):
    """Gated pointwise, depthwise in time, pointwise: (b, t, c) to the same.

    Layer norm stands where the Conformer has batch norm, so that a sequence does not depend on its
    batch.
    """

    kernel: int = 13
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]
    ) -> Float[Array, "b t c"]:
        width = x.shape[-1]
        value, gate = jnp.split(nn.Dense(2 * width, dtype=self.dtype, name="enter")(x), 2, axis=-1)
        x = layers.DepthwiseConv1d(self.kernel, dtype=self.dtype, name="time")(
            value * nn.sigmoid(gate), valid
        )
        x = nn.silu(nn.LayerNorm(dtype=self.dtype, name="norm")(x))
        return nn.Dense(width, dtype=self.dtype, name="leave")(x)


class ConformerBlock(nn.Module):
    """Half a feed-forward, attention, convolution, half a feed-forward, all residual; a norm."""

    heads: int = 4
    window: int = REACH
    kernel: int = 13
    expand: int = 2
    dropout: float = 0.1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"], *, train: bool = False
    ) -> Float[Array, "b t c"]:
        def norm(name: str) -> nn.LayerNorm:
            return nn.LayerNorm(dtype=self.dtype, name=f"{name}_norm")

        def half(name: str, y: Float[Array, "b t c"]) -> Float[Array, "b t c"]:
            block = layers.FeedForward(
                self.expand, dropout=self.dropout, dtype=self.dtype, name=name
            )
            return 0.5 * drop(block(norm(name)(y), valid, train=train))

        def drop(y: Float[Array, "b t c"]) -> Float[Array, "b t c"]:
            return nn.Dropout(self.dropout)(y, deterministic=not train)

        x = x + half("first", x)
        attention = layers.Attention(
            self.heads, self.window, self.dropout, dtype=self.dtype, name="attention"
        )
        x = x + drop(attention(norm("attention")(x), valid, train=train))
        convolution = ConvolutionModule(self.kernel, self.dtype, name="convolution")
        x = x + drop(convolution(norm("convolution")(x), valid))
        x = x + half("second", x)
        return layers.hide(norm("last")(x), valid)


class MotionPrior(nn.Module):
    """Text at 25 Hz (b, t, c) and the portrait's alpha_head (b, a) -> mu (b, t, latent).

    `accent` is the part of mu that is a linear response to the text.
    """

    latent: int = 6
    cues: int = 2
    width: int = 128
    depth: int = 4
    heads: int = 4
    window: int = REACH
    kernel: int = 13
    expand: int = 2
    dropout: float = 0.1
    dtype: Any = jnp.float32

    def setup(self):
        self.response = Accent(self.latent, self.cues)

    def accent(
        self, text: Float[Array, "b t c"], lengths: Int[Array, " b"]
    ) -> Float[Array, "b t {self.latent}"]:
        """What of mu the text alone adds; nothing without a text (zeros)."""
        return self.response(text, layers.mask(lengths, text.shape[1]))

    @nn.compact
    def __call__(
        self,
        text: Float[Array, "b t c"],
        source: Float[Array, "b a"],
        lengths: Int[Array, " b"],
        *,
        train: bool = False,
    ) -> Float[Array, "b t {self.latent}"]:
        valid = layers.mask(lengths, text.shape[1])
        # The cues alone: all features of the text would be learned by heart, sentence by sentence.
        x = nn.Dense(self.width, dtype=self.dtype, name="text")(self.response.hear(text, valid))
        x = x + nn.Dense(self.width, dtype=self.dtype, name="source")(source)[:, None, :]
        for index in range(self.depth):
            block = ConformerBlock(
                self.heads,
                self.window,
                self.kernel,
                self.expand,
                self.dropout,
                dtype=self.dtype,
                name=f"block_{index}",
            )
            x = block(x, valid, train=train)
        mu = nn.Dense(self.latent, kernel_init=nn.initializers.zeros, name="mean")(
            x.astype(jnp.float32)
        )
        return layers.hide(mu, valid) + self.response(text, valid)


class MotionField(nn.Module):
    """Velocity (b, t, latent) of a motion code on its way from noise (t = 0) to motion (t = 1).

    The window's noisy code and mu, preceded by the clean frames of `history`, pass transformer
    blocks with local attention that the flow time and the portrait's alpha_head modulate.
    """

    latent: int = 6
    width: int = 128
    depth: int = 4
    heads: int = 4
    window: int = REACH
    expand: int = 2
    kernel: int = 3
    dropout: float = 0.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t {self.latent}"],
        time: Float[Array, " b"],
        mu: Float[Array, "b t {self.latent}"],
        source: Float[Array, "b a"],
        history: Float[Array, "b h {self.latent}"],
        lengths: Int[Array, " b"],
        *,
        train: bool = False,
    ) -> Float[Array, "b t {self.latent}"]:
        present = layers.mask(lengths, x.shape[1])
        past = jnp.ones(history.shape[:2], bool)
        valid = jnp.concatenate([past, present], axis=1)
        noisy = jnp.concatenate([x, mu], axis=-1)
        tokens = jnp.concatenate(
            [
                nn.Dense(self.width, dtype=self.dtype, name="history")(history),
                nn.Dense(self.width, dtype=self.dtype, name="enter")(layers.hide(noisy, present)),
            ],
            axis=1,
        )
        condition = layers.TimeEmbedding(self.width, self.dtype, name="time")(time)
        condition = condition + nn.Dense(self.width, dtype=self.dtype, name="source")(source)
        for index in range(self.depth):
            block = layers.TransformerBlock(
                self.heads,
                self.window,
                self.expand,
                self.kernel,
                self.dropout,
                dtype=self.dtype,
                name=f"block_{index}",
            )
            tokens = block(tokens, valid, condition, train=train)
        out = layers.AdaptiveNorm(self.dtype, name="norm")(tokens[:, history.shape[1] :], condition)
        velocity = nn.Dense(self.latent, kernel_init=nn.initializers.zeros, name="leave")(
            out.astype(jnp.float32)
        )
        return layers.hide(velocity, present)


def chain(
    field: MotionField,
    params: Any,
    mu: Float[Array, "b t d"],
    source: Float[Array, "b a"],
    past: Float[Array, "b h d"],
    lengths: Int[Array, " b"],
    noise: Float[Array, "b t d"],
    *,
    solver: flow.Solver,
    steps: int,
    window: int = WINDOW,
) -> Float[Array, "b t d"]:
    """Codes f_c of a whole utterance, sampled from `mu + noise` in windows that each see the end of
    the last, and the first one `past`.

    Windows begin at multiples of `window` whatever the length, so a longer bucket only appends.
    """
    b, t, d = mu.shape
    window = min(window, t)
    count = -(-t // window)

    def windows(x: Float[Array, "b t d"]) -> Float[Array, "n b w d"]:
        x = jnp.pad(x, ((0, 0), (0, count * window - t), (0, 0)))
        return jnp.moveaxis(x.reshape(b, count, window, d), 1, 0)

    def sample(
        history: Float[Array, "b h d"], inputs: tuple[Array, Array, Array]
    ) -> tuple[Array, Array]:
        index, mean, start = inputs
        left = jnp.clip(lengths - index * window, 0, window)

        def velocity(x: Float[Array, "b w d"], time: Float[Array, " b"]) -> Float[Array, "b w d"]:
            out: Any = field.apply(params, x, time, mean, source, history, left)
            return out

        code = solver.solve(velocity, layers.hide(start, layers.mask(left, window)), steps)
        return jnp.concatenate([history, code], axis=1)[:, -HISTORY:], code

    inputs = (jnp.arange(count), windows(mu), windows(mu + noise))
    _, codes = jax.lax.scan(sample, past, inputs)
    return jnp.moveaxis(codes, 0, 1).reshape(b, count * window, d)[:, :t]


def held(reducer: NoiseReducer, params: Any, pose: Float[Array, "b a"]) -> Float[Array, "b h d"]:
    """The code f_c of HISTORY frames of a head that rests in alpha_head `pose`, far from motion."""
    reach = reducer.depth * (reducer.kernel // 2) + 1  # of a frame's code to either side
    frames = 2 * reach + 1
    rest = jnp.broadcast_to(pose[:, None, :], (len(pose), frames, pose.shape[-1]))
    lengths = jnp.full(len(pose), frames)
    code: Any = reducer.apply({"params": params}, rest, lengths, method="encode")
    middle = code[:, reach : reach + 1]
    return jnp.broadcast_to(middle, (len(pose), HISTORY, middle.shape[-1]))


def sample_motion(
    prior: MotionPrior,
    field: MotionField,
    reducer: NoiseReducer,
    params: dict[str, Any],
    text: Float[Array, "b m c"],
    source: Float[Array, "b a"],
    lengths: Int[Array, " b"],
    keys: Key[Array, " b"],
    *,
    solver: flow.Solver,
    steps: int,
    temperature: float = 1.0,
) -> Float[Array, "b t a"]:
    """Head coefficients alpha_head (25 Hz) for upsampled text features (100 Hz), from a portrait's
    alpha_head onwards.

    `params` holds the trees of motion_prior, motion_field and reducer; `lengths` counts video
    frames. Pure, of any length: the same key gives the same motion, alone or in a longer bucket.
    """
    pooled = pool(text)
    of_prior = {"params": params["motion_prior"]}
    mu: Any = prior.apply(of_prior, pooled, source, lengths)
    accent: Any = prior.apply(of_prior, pooled, lengths, method="accent")
    noise = jax.vmap(lambda key: flow.frame_noise(key, mu.shape[1], mu.shape[2]))(keys)
    past = held(reducer, params["reducer"], source)
    code = chain(
        field,
        {"params": params["motion_field"]},
        mu - accent,
        source,
        past,
        lengths,
        temperature * noise,
        solver=solver,
        steps=steps,
    )
    # The rest before it is decoded, too, or the first frames would lean on an edge.
    code = jnp.concatenate([past, code + accent], axis=1)
    alpha: Any = reducer.apply(
        {"params": params["reducer"]}, code, source, lengths + HISTORY, method="decode"
    )
    return alpha[:, HISTORY:]
