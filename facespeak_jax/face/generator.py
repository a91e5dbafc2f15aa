"""The generator: frames from a source's feature pyramid, bent by flows that styles decide."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from facespeak_jax.face.convolution import ModulatedConv, activation, depth_to_space, double
from facespeak_jax.face.encoder import COARSEST
from facespeak_jax.face.warp import warp

FIRST = (2.0, -2.0)  # logits of moved and still at the start; painted has 0


class Render(NamedTuple):
    """Frames and their parts: image = moved · warp(source, flow) + still · source + painted · rgb.

    `shares` are moved, still, painted; their sum is 1.
    """

    image: Float[Array, "b t h w 3"]  # [−1, 1], not clipped
    flow: Float[Array, "b t h w 2"]  # where each pixel comes from: displacement in frames
    shares: Float[Array, "b t h w 3"]
    rgb: Float[Array, "b t h w 3"]  # what is painted


def compose(
    image: Float[Array, "b h w 3"],
    flow: Float[Array, "b t h w 2"],
    shares: Float[Array, "b t h w 3"],
    rgb: Float[Array, "b t h w 3"],
) -> Float[Array, "b t h w 3"]:
    """The frame that a source, bent and as it stands, and painted colours make: see `Render`."""
    parts = jnp.stack([warp(image, flow), jnp.broadcast_to(image[:, None], rgb.shape), rgb], -1)
    return (shares[..., None, :] * parts).sum(-1)


def enlarge(render: Render, image: Float[Array, "b height width 3"]) -> Render:
    """The same frames made of a finer picture of the source: its pixels survive where they moved.

    Flow, shares and colours are interpolated; they are as coarse as before. A `plain` generator's
    frames, all painted, gain nothing.
    """

    def finer(x: Float[Array, "b t h w c"]) -> Float[Array, "b t height width c"]:
        return jax.image.resize(x, (*x.shape[:2], *image.shape[1:3], x.shape[-1]), "bilinear")

    flow, shares, rgb = finer(render.flow), finer(render.shares), finer(render.rgb)
    return Render(compose(image, flow, shares, rgb), flow, shares, rgb)


class FlowHead(nn.Module):
    """Refines a flow and a mask from features and a style; begins as the identity flow."""

    width: int
    step: float  # displacement of a unit output, in fractions of the frame
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], style: Float[Array, "n s"]
    ) -> tuple[Float[Array, "n h w 2"], Float[Array, "n h w 1"]]:
        hidden = activation(ModulatedConv(self.width, dtype=self.dtype, name="hidden")(x, style))
        small = nn.initializers.variance_scaling(0.01, "fan_in", "normal")
        out = nn.Conv(3, (1, 1), kernel_init=small, name="out")(hidden.astype(jnp.float32))
        return self.step * out[..., :2], out[..., 2:]


class Level(nn.Module):
    """One resolution of G: two modulated convolutions, a flow, and the warped source mixed in."""

    width: int
    resolution: int
    flow_width: int
    tent: bool  # warp by matmul
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "n h w c"],
        source: Float[Array, "b r r {self.width}"],
        flow: Float[Array, "n r r 2"],
        styles: dict[str, Float[Array, "n _"]],
    ) -> tuple[Float[Array, "n r r c2"], Float[Array, "n r r c2"], Float[Array, "n r r 2"]]:
        """Returns the mixed features, the masked warped source alone, and the refined flow."""
        x = ModulatedConv(self.width, dtype=self.dtype, name="a")(x, styles["a"])
        if x.shape[1] < self.resolution:
            x = double(x)
        x = activation(x)
        x = activation(ModulatedConv(self.width, dtype=self.dtype, name="b")(x, styles["b"]))
        head = FlowHead(self.flow_width, 2.0 / self.resolution, dtype=self.dtype, name="flow")
        change, logit = head(x, styles["flow"])
        flow = flow + change
        batch = source.shape[0]
        warped = warp(
            source,
            flow.reshape(batch, -1, *flow.shape[1:]),
            method="tent" if self.tent else "gather",
        ).reshape(x.shape)
        mask = nn.sigmoid(logit).astype(self.dtype)
        return mask * warped + (1 - mask) * x, mask * warped, flow


class Generator(nn.Module):
    """StyleGAN-like decoder G that warps the source's pyramid at every scale (after LIA).

    Every layer is styled by one slot: `lip_layers` get f_id + f_lip, all others f_id + f_head.
    Names are "8a", "8b", "8flow", "16a", …, "image"; slots are chosen by layer, never by place,
    since where the mouth is depends on the head. Flow layers see the source's own motion f_m beside
    their slot, so that f_id need not carry the pose that pixels start from.

    The frame is composed at full resolution: what moves from the source through the upsampled flow,
    what the camera sees behind it from the source as it is, the rest painted. So pixels of the
    person's own photograph survive, and a wall stays sharp up to the moving head; `plain` keeps
    LIA's output instead, the sum of colours read off the warped features at each scale.
    """

    widths: tuple[int, ...] = (192, 128, 64, 48)  # of the maps at 8, 16, 32, …: the encoder's
    flow_width: int = 32  # hidden channels of the flow heads
    lip_layers: tuple[str, ...] = ("16b", "32b", "32flow", "64b", "64flow", "image")
    plain: bool = False  # LIA's accumulated colours instead of composition in image space
    tent_below: int = 0  # maps of less than this resolution are warped by matmul
    dtype: Any = jnp.float32

    def layers(self) -> tuple[str, ...]:
        """Names of all styled layers, in order."""
        resolutions = [COARSEST * 2**level for level in range(len(self.widths))]
        return (*(f"{r}{part}" for r in resolutions for part in ("a", "b", "flow")), "image")

    @nn.compact
    def __call__(
        self,
        image: Float[Array, "b h w 3"],
        pyramid: tuple[Float[Array, "b _ _ _"], ...],
        source_motion: Float[Array, "b s"],
        head_slot: Float[Array, "b t s"],
        lip_slot: Float[Array, "b t s"],
    ) -> Render:
        """Renders t frames of each source; raises ValueError where sizes do not belong together."""
        self._check(image, pyramid)
        batch, frames = head_slot.shape[:2]
        n = batch * frames
        slots = {name: head_slot.reshape(n, -1) for name in self.layers()}
        slots |= {name: lip_slot.reshape(n, -1) for name in self.lip_layers}
        origin = jnp.repeat(source_motion, frames, axis=0)

        start = self.param("start", nn.initializers.normal(1.0), (COARSEST,) * 2 + self.widths[:1])
        x = jnp.broadcast_to(start[None].astype(self.dtype), (n, *start.shape))
        flow = self._coarse_flow(slots["8flow"], origin)
        colours = jnp.zeros((n, COARSEST, COARSEST, 3))
        for level, source in enumerate(pyramid):
            r = COARSEST * 2**level
            styles = {part: slots[f"{r}{part}"] for part in ("a", "b", "flow")}
            styles["flow"] = jnp.concatenate([styles["flow"], origin], axis=-1)
            block = Level(
                self.widths[level],
                r,
                self.flow_width,
                r < self.tent_below,
                self.dtype,
                name=f"level{r}",
            )
            flow, colours = (double(flow), double(colours)) if level else (flow, colours)
            x, warped, flow = block(x, source, flow, styles)
            if self.plain:
                colours = colours + self._colour(warped, f"colour{r}")
        if self.plain:
            return self._accumulated(image, flow, colours, frames)
        return self._composed(image, x, flow, slots["image"], frames)

    def _check(self, image: jax.Array, pyramid: tuple[jax.Array, ...]) -> None:
        expected = [(COARSEST * 2**level, width) for level, width in enumerate(self.widths)]
        if [(level.shape[1], level.shape[3]) for level in pyramid] != expected:
            shapes = [level.shape for level in pyramid]
            raise ValueError(f"pyramid {shapes} is not of (resolution, width) {expected}")
        finest, size = expected[-1][0], image.shape[1]
        if size not in [finest * 2**k for k in range(6)]:
            raise ValueError(f"image of {size} pixels is not {finest} times a power of two")
        if unknown := set(self.lip_layers) - set(self.layers()):
            raise ValueError(f"lip_layers {sorted(unknown)} are not among {self.layers()}")

    def _coarse_flow(
        self, slot: Float[Array, "n s"], origin: Float[Array, "n s"]
    ) -> Float[Array, "n 8 8 2"]:
        """A first flow straight from the styles: how a head moves is nearly linear in its pose."""
        styles = jnp.concatenate([slot, origin], axis=-1)
        hidden = activation(nn.Dense(slot.shape[-1], name="pose_hidden")(styles))
        small = nn.initializers.variance_scaling(0.01, "fan_in", "normal")
        out = nn.Dense(2 * COARSEST**2, kernel_init=small, name="pose_flow")(hidden)
        return 0.25 * out.reshape(-1, COARSEST, COARSEST, 2)

    def _colour(self, warped: Float[Array, "n r r c"], name: str) -> Float[Array, "n r r 3"]:
        return nn.Conv(3, (1, 1), name=name)(warped.astype(jnp.float32))

    def _composed(
        self,
        image: Float[Array, "b h w 3"],
        x: Float[Array, "n r r c"],
        flow: Float[Array, "n r r 2"],
        slot: Float[Array, "n s"],
        frames: int,
    ) -> Render:
        patch = image.shape[1] // x.shape[1]
        x = activation(ModulatedConv(x.shape[-1], dtype=self.dtype, name="image")(x, slot))
        # Colours and shares are made at full resolution: teeth are finer than the feature map.
        out = nn.Conv(5 * patch**2, (3, 3), dtype=self.dtype, name="paint")(x)
        out = depth_to_space(out.astype(jnp.float32), patch)
        while flow.shape[1] < image.shape[1]:
            flow = double(flow)
        flow, out = (y.reshape(image.shape[0], frames, *y.shape[1:]) for y in (flow, out))
        image, rgb = image.astype(jnp.float32), out[..., :3]
        # Begins as mostly the photograph, bent: what stands still is found once flows are.
        logits = out[..., 3:] + jnp.array(FIRST)[None, None, None, None, :]
        shares = nn.softmax(jnp.concatenate([logits, jnp.zeros_like(rgb[..., :1])], axis=-1))
        return Render(compose(image, flow, shares, rgb), flow, shares, rgb)

    def _accumulated(
        self,
        image: Float[Array, "b h w 3"],
        flow: Float[Array, "n r r 2"],
        colours: Float[Array, "n r r 3"],
        frames: int,
    ) -> Render:
        while flow.shape[1] < image.shape[1]:
            flow, colours = double(flow), double(colours)
        flow, colours = (y.reshape(image.shape[0], frames, *y.shape[1:]) for y in (flow, colours))
        painted = jnp.zeros_like(colours).at[..., 2].set(1.0)
        return Render(colours, flow, painted, colours)
