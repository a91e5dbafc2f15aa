"""How a kernel is run: what is moved where, and what that costs."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu

LANES, SUBLANES = 128, 8  # of a vector register
MEMORY = 100 * 2**20  # bytes a kernel may use; the compiler lowers it to what a chip has
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
) -> Any:
    """The results of a kernel over a grid; `interpret` runs it where there is no TPU.

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
        compiler_params=pltpu.CompilerParams(vmem_limit_bytes=MEMORY),
        interpret=interpret,
    )(*arrays)
