"""Maps of many channels, warped by products with bilinear weights.

The matrix of the weights has four in a row. Here it is made where it is used and never stored, and
a source's rows are multiplied only where a tile of the output reads them: for small motions a few,
for any motion as many as it takes. The pixels of a tile lie along the lanes of a register, those of
the source and its channels across.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float

from facespeak_jax.face.kernels import running
from facespeak_jax.face.kernels.running import LANES, SUBLANES, Result

TILE = 512  # pixels of the output at a time

Positions = Float[Array, "b t h w"]
Row = Float[Array, "1 p"]  # a number for each pixel of a tile
Ref = Any  # memory of the chip, in a kernel


def fits(shape: tuple[int, ...]) -> bool:
    """Whether a source (b, h, w, c) can be read: its sides are those of registers and tiles."""
    _, h, w, _ = shape
    return h % SUBLANES == 0 and w >= SUBLANES and w & (w - 1) == 0 and h * w % _tile(h * w) == 0


def read(
    features: Float[Array, "b h w c"], x: Positions, y: Positions, *, interpret: bool = False
) -> Float[Array, "b t h w c"]:
    """Samples at pixel positions within the frame."""
    b, h, w, c = features.shape
    over = _Tiles(x.shape[0], x.shape[1], h, w, c)
    found = over.run(
        functools.partial(_read, over),
        [*over.positions(x, y), over.source(features)],
        [Result((b, x.shape[1], h * w, c), features.dtype, over.samples)],
        products=1,
        interpret=interpret,
    )
    return found[0].reshape(*x.shape, c)


def slope_of_positions(
    features: Float[Array, "b h w c"],
    x: Positions,
    y: Positions,
    slope: Float[Array, "b t h w c"],
    *,
    interpret: bool = False,
) -> tuple[Positions, Positions]:
    """The gradients of x and y, given that of the samples."""
    over = _Tiles(x.shape[0], x.shape[1], *features.shape[1:])
    row = Result((*x.shape[:2], 1, over.pixels), jnp.float32, over.row)
    found = over.run(
        functools.partial(_slope_of_positions, over),
        [*over.positions(x, y), over.source(features), over.sampled(slope)],
        [row, row],
        products=1,
        interpret=interpret,
    )
    return found[0].reshape(x.shape), found[1].reshape(x.shape)


def slope_of_features(
    x: Positions, y: Positions, slope: Float[Array, "b t h w c"], *, interpret: bool = False
) -> Float[Array, "b h w c"]:
    """The gradient of the features, given that of the samples; summed in float32."""
    b, t, h, w, c = slope.shape
    over = _Tiles(b, t, h, w, c)
    # One block a source, which is finished before the next begins: no room for a second is needed.
    whole = pl.BlockSpec((1, h * w, c), lambda i, j, k: (i, 0, 0), pipeline_mode=pl.Buffered(1))
    found = over.run(
        functools.partial(_slope_of_features, over),
        [*over.positions(x, y), over.sampled(slope)],
        [Result((b, h * w, c), slope.dtype, whole)],
        products=1,
        scratch=[(h * w, c)],
        interpret=interpret,
    )
    return found[0].reshape(b, h, w, c)


def _tile(pixels: int) -> int:
    return min(TILE, pixels)


@dataclasses.dataclass(frozen=True)
class _Tiles:
    """How t frames of each of b sources of h × w × c are cut into tiles and chunks of rows."""

    b: int
    t: int
    h: int
    w: int
    c: int

    @property
    def pixels(self) -> int:
        return self.h * self.w

    @property
    def rows(self) -> int:
        """Of a source that are multiplied at once: as many pixels as fill a register."""
        return min(self.h, max(1, LANES // self.w))

    @property
    def row(self) -> pl.BlockSpec:
        """A number for each pixel."""
        return pl.BlockSpec((1, 1, 1, _tile(self.pixels)), lambda i, j, k: (i, j, 0, k))

    @property
    def samples(self) -> pl.BlockSpec:
        return pl.BlockSpec((1, 1, _tile(self.pixels), self.c), lambda i, j, k: (i, j, k, 0))

    def positions(self, *given: Positions) -> list[tuple[Array, pl.BlockSpec]]:
        return [(x.reshape(self.b, self.t, 1, self.pixels), self.row) for x in given]

    def source(self, features: Float[Array, "b h w c"]) -> tuple[Array, pl.BlockSpec]:
        whole = pl.BlockSpec((1, self.pixels, self.c), lambda i, j, k: (i, 0, 0))
        return features.reshape(self.b, self.pixels, self.c), whole

    def sampled(self, given: Float[Array, "b t h w c"]) -> tuple[Array, pl.BlockSpec]:
        return given.reshape(self.b, self.t, self.pixels, self.c), self.samples

    def run(
        self,
        kernel: Any,
        operands: Any,
        results: Any,
        *,
        products: int,
        interpret: bool,
        scratch: Sequence[tuple[int, int]] = (),
    ) -> Sequence[Array]:
        """Every tile of every frame; `products` a chunk of rows that a tile reads."""
        tile = _tile(self.pixels)
        grid = (self.b, self.t, self.pixels // tile)
        span = min(self.h, tile // self.w + running.REACH * self.h)
        flops = 2.0 * products * self.b * self.t * self.pixels * span * self.w * self.c
        return running.run(
            kernel, grid, operands, results, flops=flops, interpret=interpret, scratch=scratch
        )

    def chunks(self, y: Row) -> tuple[Array, Array]:
        """The first chunk of rows that a tile reads and the one after the last, whatever y is."""
        first, last = jnp.min(y), jnp.minimum(jnp.max(y) + 1, self.h - 1)
        inside = functools.partial(jnp.clip, min=0, max=self.h // self.rows - 1)
        first, last = (inside(edge.astype(jnp.int32) // self.rows) for edge in (first, last))
        return first, last + 1

    def places(self, chunk: Array) -> tuple[Array, Array]:
        """Column and row of every pixel of a chunk (k, p), alike for all pixels of a tile."""
        count = self.rows * self.w
        pixel = jax.lax.broadcasted_iota(jnp.int32, (count, _tile(self.pixels)), 0)
        column, row = pixel & (self.w - 1), pixel >> (self.w.bit_length() - 1)
        return column.astype(jnp.float32), (row + chunk * self.rows).astype(jnp.float32)

    def of_chunk(self, chunk: Array) -> Any:
        count = self.rows * self.w
        return pl.ds(pl.multiple_of(chunk * count, count), count)


def _tent(position: Row, places: Float[Array, "k p"]) -> Float[Array, "k p"]:
    return jnp.maximum(0.0, 1.0 - jnp.abs(position - places))


def _tent_slope(position: Row, places: Float[Array, "k p"], size: int) -> Float[Array, "k p"]:
    """Of a tent whose place is a pixel, to the right: the neighbour's minus the pixel's own."""
    before = jnp.floor(position)
    after = jnp.minimum(before + 1.0, size - 1.0)
    return (places == after).astype(jnp.float32) - (places == before).astype(jnp.float32)


def _product(one: Array, other: Array, axes: tuple[int, int]) -> Array:
    """Over an axis of each, exact to the precision of what is multiplied."""
    exact = jax.lax.Precision.HIGHEST if one.dtype == jnp.float32 else None
    return jax.lax.dot_general(
        one,
        other,
        (((axes[0],), (axes[1],)), ((), ())),
        precision=exact,
        preferred_element_type=jnp.float32,
    )


def _read(over: _Tiles, x_ref: Ref, y_ref: Ref, source: Ref, out: Ref) -> None:
    x, y = x_ref[0, 0], y_ref[0, 0]

    def add(chunk: Array, total: Array) -> Array:
        columns, rows = over.places(chunk)
        weights = _tent(x, columns) * _tent(y, rows)
        pixels = source[0, over.of_chunk(chunk), :]
        return total + _product(weights.astype(pixels.dtype), pixels, (0, 0))

    empty = jnp.zeros((x.shape[1], over.c), jnp.float32)
    out[0, 0] = jax.lax.fori_loop(*over.chunks(y), add, empty).astype(out.dtype)


def _slope_of_positions(
    over: _Tiles, x_ref: Ref, y_ref: Ref, source: Ref, slope: Ref, of_x: Ref, of_y: Ref
) -> None:
    x, y, given = x_ref[0, 0], y_ref[0, 0], slope[0, 0]

    def add(chunk: Array, total: tuple[Array, Array]) -> tuple[Array, Array]:
        columns, rows = over.places(chunk)
        # What each pixel of the source would add to each sample, were its weight 1.
        gain = _product(source[0, over.of_chunk(chunk), :], given, (1, 1))
        across = _tent(y, rows) * _tent_slope(x, columns, over.w) * gain
        down = _tent(x, columns) * _tent_slope(y, rows, over.h) * gain
        return total[0] + across.sum(0, keepdims=True), total[1] + down.sum(0, keepdims=True)

    empty = jnp.zeros_like(x)
    of_x[0, 0], of_y[0, 0] = jax.lax.fori_loop(*over.chunks(y), add, (empty, empty))


def _slope_of_features(
    over: _Tiles, x_ref: Ref, y_ref: Ref, slope: Ref, out: Ref, total: Ref
) -> None:
    frame, tile = pl.program_id(1), pl.program_id(2)

    @pl.when((frame == 0) & (tile == 0))
    def _() -> None:
        total[...] = jnp.zeros_like(total)

    x, y, given = x_ref[0, 0], y_ref[0, 0], slope[0, 0]

    def add(chunk: Array, _: None) -> None:
        columns, rows = over.places(chunk)
        weights = _tent(x, columns) * _tent(y, rows)
        total[over.of_chunk(chunk), :] += _product(weights.astype(given.dtype), given, (1, 0))

    jax.lax.fori_loop(*over.chunks(y), add, None)

    @pl.when((frame == over.t - 1) & (tile == over.pixels // _tile(over.pixels) - 1))
    def _() -> None:
        out[0] = total[...].astype(out.dtype)
