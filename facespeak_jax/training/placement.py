"""Where arrays live inside a step: activations with their examples, parameters on every device.

The compiler would decide it by itself, but where parameters are split over two axes of a mesh
beside the batch's own, XLA (jax 0.10) loses its way between shardings: some gradients come out
wrong by as much as their own size (tests/training/test_placement.py). So it is told at the door of
every module.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from facespeak_jax.mesh import BATCH, ways
from facespeak_jax.training import sharding


def by_example(x: Any) -> Any:
    """An array with its first axis split over the data-like axes of the mesh, where it has them.

    Examples come first, and frames of a clip may be folded in behind them: those of a single clip
    are split, too. An axis that does not split evenly is left to the compiler, and so is what is no
    array.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if not isinstance(x, jax.Array) or not x.ndim or not set(BATCH) <= set(mesh.axis_names):
        return x
    return x if x.shape[0] % ways(mesh) else jax.lax.with_sharding_constraint(x, P(BATCH))


def kept(
    call: Callable[..., Any],
    arguments: tuple[Any, ...],
    options: dict[str, Any],
    context: nn.module.InterceptorContext,
) -> Any:
    """For `nn.intercept_methods`: what goes into a module and comes out stays with its examples."""
    if context.method_name != "__call__":
        return call(*arguments, **options)
    return jax.tree.map(by_example, call(*jax.tree.map(by_example, arguments), **options))


def gathered(params: Any) -> Any:
    """Parameters as a loss computes with them: whole, but for what is split over `tensor`.

    They are stored split over `fsdp`, too. Left to itself XLA does not fetch a kernel: it convolves
    with one slice of its channels after the other, which fill a quarter of a TPU's lanes. Inside of
    what is differentiated it holds for the gradients as well.
    """

    def whole(stored: P) -> P:
        return P(*(axis if axis != "fsdp" else None for axis in stored))

    return _placed(params, whole)


def scattered(grads: Any) -> Any:
    """Gradients as the parameters are stored: every device keeps the sum of its own slice alone."""
    return _placed(grads, lambda stored: stored)


def _placed(tree: Any, where: Callable[[P], P]) -> Any:
    """What is stored split over `fsdp` goes `where` its place in the store says."""
    mesh = jax.sharding.get_abstract_mesh()
    if not set(BATCH) <= set(mesh.axis_names):
        return tree

    def place(x: Any, stored: NamedSharding) -> Any:
        if "fsdp" not in stored.spec:
            return x
        return jax.lax.with_sharding_constraint(x, where(stored.spec))

    return jax.tree.map(place, tree, sharding.infer(tree, mesh))
