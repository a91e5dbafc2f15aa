"""How a kernel is run: what is moved where, and what that costs."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

LANES, SUBLANES = 128, 8  # of a vector register
SPARE = 7 * 2**20  # bytes of fast memory that a kernel may use beside its blocks
# How far the flow differs within a tile, in heights of the frame, where costs are estimated: how
# much work a kernel does depends on that.
REACH = 1 / 8


class Result(NamedTuple):
    """An array that a kernel makes, and the blocks it makes it in."""

    shape: tuple[int, ...]
    dtype: Any
    blocks: pl.BlockSpec


def run(
    kernel: Callable[..., None],
    grid: tuple[int, ...],
    operands: Sequence[tuple[jax.Array, pl.BlockSpec]],
    results: Sequence[Result],
    *,
    flops: float,
    interpret: bool,
    scratch: Sequence[tuple[int, int]] = (),
) -> Any:
    """The results of a kernel over a grid; `interpret` runs it where there is no TPU.

    `scratch` are arrays of float32 that stay in fast memory, given to the kernel last.

    A block that the next step of the grid uses as well stays where it is, so with the grid in the
    order (source, frame, tile) every array is moved once.
    """
    shapes = [jax.ShapeDtypeStruct(result.shape, result.dtype) for result in results]
    arrays = [array for array, _ in operands]
    moved = sum(x.size * x.dtype.itemsize for x in (*arrays, *shapes))
    return pl.pallas_call(
        kernel,
        grid=grid,
        in_specs=[blocks for _, blocks in operands],
        out_specs=[result.blocks for result in results],
        out_shape=shapes,
        cost_estimate=pl.CostEstimate(flops=int(flops), bytes_accessed=moved, transcendentals=0),
        scratch_shapes=[pltpu.VMEM(shape, jnp.float32) for shape in scratch],
        compiler_params=pltpu.CompilerParams(
            vmem_limit_bytes=_memory(operands, results) + sum(4 * math.prod(s) for s in scratch)
        ),
        interpret=interpret,
    )(*arrays)


def _memory(operands: Sequence[tuple[jax.Array, pl.BlockSpec]], results: Sequence[Result]) -> int:
    """Bytes of fast memory that a kernel is given: the rest is the compiler's to keep arrays in.

    Two buffers a block, so that one is filled while the other is used, unless the block says one.
    """
    blocks = [(x.dtype, spec) for x, spec in operands]
    blocks += [(jnp.dtype(result.dtype), result.blocks) for result in results]
    total = SPARE
    for dtype, spec in blocks:
        *outer, rows, lanes = (n for n in spec.block_shape or () if isinstance(n, int))
        padded = -(-rows // SUBLANES) * SUBLANES * -(-lanes // LANES) * LANES
        buffers = getattr(spec.pipeline_mode, "buffer_count", 2)
        total += buffers * math.prod(outer) * padded * dtype.itemsize
    return total
