"""Pictures, warped by picking pixels within a row.

A picture has too few channels to fill a register, so its pixels lie along the lanes: of each row of
the source that a block of the output reads, both neighbours of every position are picked.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from facespeak_jax.face.kernels import running
from facespeak_jax.face.kernels.running import LANES, SUBLANES, Result

CHANNELS = 8  # a picture has at most

Positions = Float[Array, "b t h w"]
Block = Float[Array, "8 128"]  # a register: as many pixels of eight rows
Ref = Any  # memory of the chip, in a kernel


def fits(shape: tuple[int, ...]) -> bool:
    """Whether a source (b, h, w, c) can be read: its sides are those of registers."""
    _, h, w, c = shape
    return c <= CHANNELS and h % SUBLANES == 0 and w % LANES == 0


def read(
    image: Float[Array, "b h w c"], x: Positions, y: Positions, *, interpret: bool = False
) -> Float[Array, "b t h w c"]:
    """Samples at pixel positions within the frame."""
    b, h, w, c = image.shape
    found = _run(
        _read,
        image,
        [(x, _line(w)), (y, _line(w))],
        [Result((b, x.shape[1], c, h, w), jnp.float32, _lines(c, w))],
        interpret,
    )
    return found[0].transpose(0, 1, 3, 4, 2).astype(image.dtype)


def slope_of_positions(
    image: Float[Array, "b h w c"],
    x: Positions,
    y: Positions,
    slope: Float[Array, "b t h w c"],
    *,
    interpret: bool = False,
) -> tuple[Positions, Positions]:
    """The gradients of x and y, given that of the samples."""
    w, c = image.shape[2:]
    given = slope.astype(jnp.float32).transpose(0, 1, 4, 2, 3)
    numbers = Result(x.shape, jnp.float32, _line(w))
    found = _run(
        _slope_of_positions,
        image,
        [(x, _line(w)), (y, _line(w)), (given, _lines(c, w))],
        [numbers, numbers],
        interpret,
    )
    return found[0], found[1]


def _line(w: int) -> pl.BlockSpec:
    """Eight rows of a number for each pixel."""
    return pl.BlockSpec((1, 1, SUBLANES, w), lambda i, j, k: (i, j, k, 0))


def _lines(c: int, w: int) -> pl.BlockSpec:
    """Eight rows of each channel."""
    return pl.BlockSpec((1, 1, c, SUBLANES, w), lambda i, j, k: (i, j, 0, k, 0))


def _run(
    kernel: Callable[..., None],
    image: Float[Array, "b h w c"],
    operands: Sequence[tuple[Array, pl.BlockSpec]],
    results: Sequence[Result],
    interpret: bool,
) -> Sequence[Array]:
    """The kernel for every eight rows of every frame, with the whole source."""
    b, h, w, c = image.shape
    t = operands[0][0].shape[1]
    source = image.astype(jnp.float32).transpose(0, 3, 1, 2)
    whole = pl.BlockSpec((1, c, h, w), lambda i, j, k: (i, 0, 0, 0))
    span = min(h, SUBLANES + running.REACH * h)
    flops = 6.0 * b * t * h * w * c * span
    return running.run(
        kernel,
        (b, t, h // SUBLANES),
        [(source, whole), *operands],
        results,
        flops=flops,
        interpret=interpret,
    )


class _Place(NamedTuple):
    """Where the pixels of a block are read: between two columns, and between two rows."""

    left: Int[Array, "8 128"]
    right: Int[Array, "8 128"]
    beyond: Block  # from the left one, in pixels
    y: Block

    @staticmethod
    def of(x: Block, y: Block, w: int) -> "_Place":
        left = jnp.floor(x)
        right = jnp.minimum(left + 1.0, w - 1.0)
        return _Place(left.astype(jnp.int32), right.astype(jnp.int32), x - left, y)

    def rows(self, h: int) -> tuple[Array, Array]:
        """The first row that is read and the one after the last, whatever y is."""
        first, last = jnp.min(self.y), jnp.max(self.y) + 1.0
        first, last = (jnp.clip(row.astype(jnp.int32), 0, h - 1) for row in (first, last))
        return first, last + 1


def _picked(row: Float[Array, "1 w"], column: Int[Array, "8 128"]) -> Block:
    """A row's pixels at the columns given: of each register of the row, those that lie in it."""
    found = jnp.zeros(column.shape, jnp.float32)
    for part in range(row.shape[1] // LANES):
        lanes = jnp.broadcast_to(row[:, part * LANES : (part + 1) * LANES], column.shape)
        here = jnp.take_along_axis(lanes, column % LANES, axis=1, mode="promise_in_bounds")
        found = jnp.where(column // LANES == part, here, found)
    return found


def _read(source: Ref, x_ref: Ref, y_ref: Ref, out: Ref) -> None:
    c, h, w = source.shape[1:]
    for lane in range(0, w, LANES):
        here = slice(lane, lane + LANES)
        at = _Place.of(x_ref[0, 0, :, here], y_ref[0, 0, :, here], w)

        def add(row: Array, total: tuple[Block, ...], at: _Place = at) -> tuple[Block, ...]:
            weight = jnp.maximum(0.0, 1.0 - jnp.abs(at.y - row.astype(jnp.float32)))
            found = []
            for channel in range(c):
                line = source[0, channel, pl.ds(row, 1), :]
                left, right = _picked(line, at.left), _picked(line, at.right)
                found.append(total[channel] + weight * (left + at.beyond * (right - left)))
            return tuple(found)

        empty = (jnp.zeros(at.y.shape, jnp.float32),) * c
        for channel, total in enumerate(jax.lax.fori_loop(*at.rows(h), add, empty)):
            out[0, 0, channel, :, here] = total


def _slope_of_positions(
    source: Ref, x_ref: Ref, y_ref: Ref, slope: Ref, of_x: Ref, of_y: Ref
) -> None:
    c, h, w = source.shape[1:]
    for lane in range(0, w, LANES):
        here = slice(lane, lane + LANES)
        at = _Place.of(x_ref[0, 0, :, here], y_ref[0, 0, :, here], w)
        top = jnp.floor(at.y)
        bottom = jnp.minimum(top + 1.0, h - 1.0)
        given = [slope[0, 0, channel, :, here] for channel in range(c)]

        def add(
            row: Array,
            total: tuple[Block, Block],
            at: _Place = at,
            edges: tuple[Block, Block] = (top, bottom),
            given: list[Block] = given,
        ) -> tuple[Block, Block]:
            number = row.astype(jnp.float32)
            weight = jnp.maximum(0.0, 1.0 - jnp.abs(at.y - number))
            sign = (edges[1] == number).astype(jnp.float32) - (edges[0] == number)
            of_x, of_y = total
            for channel in range(c):
                line = source[0, channel, pl.ds(row, 1), :]
                left, right = _picked(line, at.left), _picked(line, at.right)
                of_x += given[channel] * weight * (right - left)
                of_y += given[channel] * sign * (left + at.beyond * (right - left))
            return of_x, of_y

        empty = jnp.zeros(at.y.shape, jnp.float32)
        of_x[0, 0, :, here], of_y[0, 0, :, here] = jax.lax.fori_loop(
            *at.rows(h), add, (empty, empty)
        )
