"""The generator: frames from a source's feature pyramid, bent by flows that styles decide."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from facespeak_jax.face.convolution import ModulatedConv, activation, depth_to_planes, double
from facespeak_jax.face.encoder import COARSEST
from facespeak_jax.face.warp import Method, warp, warp_by_spline

FIRST = (2.0, -2.0)  # logits of moved and still at the start; painted has 0
# The power of what a pixel is made of when speaking: the generator is more cautious than is good to
# look at.
DECISION = 2.0


class Render(NamedTuple):
    """Frames and their parts: image = moved · warp(source, flow) + still · source + painted · rgb.

    `shares` are moved, still, painted; their sum is 1.
    """

    image: Float[Array, "b t h w 3"]  # [−1, 1], not clipped
    flow: Float[Array, "b t h w 2"]  # where each pixel comes from: displacement in frames
    shares: Float[Array, "b t h w 3"]
    rgb: Float[Array, "b t h w 3"]  # what is painted
    warped: Float[Array, "b t h w 3"]  # the source bent by the flow, alone


def enlarge(render: Render, image: Float[Array, "b height width 3"]) -> Render:
    """The same frames made of a finer picture of the source: its pixels survive where they moved.

    Flow, shares and colours are interpolated; they are as coarse as before. A `plain` generator's
    frames, all painted, gain nothing.
    """

    def finer(x: Float[Array, "b t h w c"]) -> Float[Array, "b t height width c"]:
        return jax.image.resize(x, (*x.shape[:2], *image.shape[1:3], x.shape[-1]), "bilinear")

    flow, shares, rgb = finer(render.flow), finer(render.shares), finer(render.rgb)
    warped = warp(image, flow)
    return Render(_mixed(shares, warped, image, rgb), flow, shares, rgb, warped)


def decided(render: Render, image: Float[Array, "b h w 3"], power: float = DECISION) -> Render:
    """The same frames of the same `image` with every pixel's greater shares made greater.

    A pixel that is half the photograph's and half painted has half the photograph's texture: L1
    rewards such caution, eyes do not. Shares to the `power`, of the same sum; 1 changes nothing.
    """
    shares = render.shares**power
    shares = shares / shares.sum(-1, keepdims=True)
    mixed = _mixed(shares, render.warped, image, render.rgb)
    return render._replace(image=mixed, shares=shares)


def _mixed(
    shares: Float[Array, "b t h w 3"],
    warped: Float[Array, "b t h w 3"],
    image: Float[Array, "b h w 3"],
    rgb: Float[Array, "b t h w 3"],
) -> Float[Array, "b t h w 3"]:
    return shares[..., :1] * warped + shares[..., 1:2] * image[:, None] + shares[..., 2:] * rgb


class FlowHead(nn.Module):
    """Refines a flow and a mask from features and a style; begins as the identity flow."""

    width: int
    step: float  # displacement of a unit output, in fractions of the frame
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[Array, "n h w c"], style: Float[Array, "n s"]
    ) -> tuple[Float[Array, "n 2 h w"], Float[Array, "n h w 1"]]:
        hidden = activation(ModulatedConv(self.width, dtype=self.dtype, name="hidden")(x, style))
        small = nn.initializers.variance_scaling(0.01, "fan_in", "normal")
        out = nn.Conv(3, (1, 1), kernel_init=small, name="out")(hidden.astype(jnp.float32))
        return self.step * out[..., :2].transpose(0, 3, 1, 2), out[..., 2:]


class Level(nn.Module):
    """One resolution of G: two modulated convolutions, a flow, and the warped source mixed in."""

    width: int
    resolution: int
    flow_width: int
    warp: Method = "gather"
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "n h w c"],
        source: Float[Array, "b r r {self.width}"],
        flow: Float[Array, "n 2 r r"],
        styles: dict[str, Float[Array, "n _"]],
    ) -> tuple[Float[Array, "n r r c2"], Float[Array, "n r r c2"], Float[Array, "n 2 r r"]]:
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
        warped = warp(source, _clips(flow, batch), self.warp).reshape(x.shape)
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
    kernels: bool = False  # larger ones, and the image, by kernels where there is a TPU
    spline: bool = False  # pixels of the image are interpolated by a spline: sharper
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
        colours = jnp.zeros((n, 3, COARSEST, COARSEST))
        for level, source in enumerate(pyramid):
            r = COARSEST * 2**level
            styles = {part: slots[f"{r}{part}"] for part in ("a", "b", "flow")}
            styles["flow"] = jnp.concatenate([styles["flow"], origin], axis=-1)
            block = Level(
                self.widths[level],
                r,
                self.flow_width,
                "tent" if r < self.tent_below else self._warp,
                self.dtype,
                name=f"level{r}",
            )
            flow, colours = (_larger(flow), _larger(colours)) if level else (flow, colours)
            x, warped, flow = block(x, source, flow, styles)
            if self.plain:
                colours = colours + self._colour(warped, f"colour{r}")
        if self.plain:
            return self._accumulated(image, flow, colours)
        return self._composed(image, x, flow, slots["image"], frames)

    @property
    def _warp(self) -> Method:
        return "kernel" if self.kernels else "gather"

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
    ) -> Float[Array, "n 2 8 8"]:
        """A first flow straight from the styles: how a head moves is nearly linear in its pose."""
        styles = jnp.concatenate([slot, origin], axis=-1)
        hidden = activation(nn.Dense(slot.shape[-1], name="pose_hidden")(styles))
        small = nn.initializers.variance_scaling(0.01, "fan_in", "normal")
        out = nn.Dense(2 * COARSEST**2, kernel_init=small, name="pose_flow")(hidden)
        return 0.25 * out.reshape(-1, COARSEST, COARSEST, 2).transpose(0, 3, 1, 2)

    def _colour(self, warped: Float[Array, "n r r c"], name: str) -> Float[Array, "n 3 r r"]:
        return nn.Conv(3, (1, 1), name=name)(warped.astype(jnp.float32)).transpose(0, 3, 1, 2)

    def _composed(
        self,
        image: Float[Array, "b h w 3"],
        x: Float[Array, "n r r c"],
        flow: Float[Array, "n 2 r r"],
        slot: Float[Array, "n s"],
        frames: int,
    ) -> Render:
        patch = image.shape[1] // x.shape[1]
        x = activation(ModulatedConv(x.shape[-1], dtype=self.dtype, name="image")(x, slot))
        # Colours and shares are made at full resolution: teeth are finer than the feature map.
        out = nn.Conv(5 * patch**2, (3, 3), dtype=self.dtype, name="paint")(x)
        out = depth_to_planes(out, patch).astype(jnp.float32)
        rgb, logits = out[:, :3], out[:, 3:]
        # Begins as mostly the photograph, bent: what stands still is found once flows are.
        logits = logits + jnp.array(FIRST)[None, :, None, None]
        shares = nn.softmax(jnp.concatenate([logits, jnp.zeros_like(rgb[:, :1])], axis=1), axis=1)
        image = image.astype(jnp.float32)
        flow = _clips(self._at(image, flow), image.shape[0])
        warped = (warp_by_spline if self.spline else warp)(image, flow, self._warp)
        still = jnp.repeat(image.transpose(0, 3, 1, 2), frames, axis=0)
        moved = warped.reshape(-1, *warped.shape[2:]).transpose(0, 3, 1, 2)
        frame = shares[:, :1] * moved + shares[:, 1:2] * still + shares[:, 2:] * rgb
        frame, shares, rgb = (_clips(planes, image.shape[0]) for planes in (frame, shares, rgb))
        return Render(frame, flow, shares, rgb, warped)

    def _accumulated(
        self,
        image: Float[Array, "b h w 3"],
        flow: Float[Array, "n 2 r r"],
        colours: Float[Array, "n 3 r r"],
    ) -> Render:
        flow, colours = (_clips(self._at(image, x), image.shape[0]) for x in (flow, colours))
        painted = jnp.zeros_like(colours).at[..., 2].set(1.0)
        return Render(colours, flow, painted, colours, warp(image, flow, self._warp))

    def _at(self, image: Float[Array, "b h w 3"], x: Float[Array, "n c r r"]) -> Array:
        """Planes at the resolution of the image."""
        while x.shape[2] < image.shape[1]:
            x = _larger(x)
        return x


def _larger(planes: Float[Array, "n c h w"]) -> Float[Array, "n c hh ww"]:
    return double(planes, axes=(2, 3))


def _clips(planes: Float[Array, "n c h w"], batch: int) -> Float[Array, "{batch} t h w c"]:
    """Frames that were folded into the batch, as images again."""
    return planes.reshape(batch, -1, *planes.shape[1:]).transpose(0, 1, 3, 4, 2)
