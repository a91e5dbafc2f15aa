"""The generator by itself, forward and backward: the shipped one and, beside it, a plain one."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax import ShapeDtypeStruct
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.stages import Traced
from ml_collections import ConfigDict

from facespeak_jax import model
from facespeak_jax.face.encoder import COARSEST
from launch.aot import plain


def shipped(config: ConfigDict, mesh: Mesh) -> Iterator[tuple[str, Traced]]:
    """The config's generator on a batch of frames, each of a source of its own."""
    given: Any = config.model
    n, size, style = config.data.batch, given.size, given.encoder.style
    dtype = jnp.dtype(config.train.dtype)
    generator: Any = model.part("generator", given.generator.to_dict(), dtype)
    levels = [(COARSEST * 2**level, width) for level, width in enumerate(given.generator.widths)]
    photograph = ShapeDtypeStruct((n, size, size, 3), jnp.float32)
    pyramid = tuple(ShapeDtypeStruct((n, r, r, width), dtype) for r, width in levels)
    motion, slot = (ShapeDtypeStruct((n, *t, style), jnp.float32) for t in ((), (1,)))

    def image(params: Any, photograph: jax.Array, *others: Any) -> jax.Array:
        return generator.apply(params, photograph, *others).image

    # Nobody asks for the gradient of a photograph.
    learned = (0, 2, 3, 4, 5)
    yield from _both(generator, image, (photograph, pyramid, motion, slot, slot), learned, mesh)


def plainly(frames: int, mesh: Mesh) -> Iterator[tuple[str, Traced]]:
    """The plain one, which warps features at the image's resolution too."""
    generator = plain.PlainGenerator()
    pyramid = tuple(ShapeDtypeStruct(shape, jnp.bfloat16) for shape in plain.shapes(frames))
    style = ShapeDtypeStruct((frames, plain.STYLE), jnp.float32)
    yield from _both(generator, generator.apply, (pyramid, style), (0, 1, 2), mesh)


def _both(
    generator: Any,
    image: Callable[..., Any],
    inputs: tuple[Any, ...],
    learned: tuple[int, ...],
    mesh: Mesh,
) -> Iterator[tuple[str, Traced]]:
    """Forward, and forward and backward: to the parameters and the inputs that are `learned`."""
    params = jax.eval_shape(lambda *given: generator.init(jax.random.key(0), *given), *inputs)
    where = NamedSharding(mesh, P())
    arguments = jax.tree.map(
        lambda x: ShapeDtypeStruct(x.shape, x.dtype, sharding=where), (params, *inputs)
    )

    def error(*given: Any) -> jax.Array:
        return jnp.square(image(*given).astype(jnp.float32)).mean()

    yield "forward", jax.jit(image).trace(*arguments)
    yield "forward and backward", jax.jit(jax.grad(error, learned)).trace(*arguments)
