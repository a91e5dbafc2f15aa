"""Where arrays live: one named mesh, one short list of rules for parameters, one rule for batches.

Parameters and everything shaped like them (moments, averages) follow the same rules, because the
rules look at the end of a path. A single device is a mesh of one.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import mesh_utils
from jax.sharding import AbstractMesh, AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.mesh import AXES, BATCH, ways

AnyMesh = Mesh | AbstractMesh
MIN_SIZE = 2**14  # arrays with fewer elements are not worth splitting


class MeshMismatch(FaceSpeakError):
    """The mesh or the batch does not fit the devices."""


def make_mesh(sizes: Mapping[str, int], devices: Sequence[Any] | None = None) -> Mesh:
    """The mesh of `sizes` (axis -> devices; -1 takes what is left). Raises MeshMismatch.

    Of all devices, or of those given, which need not be of this machine.
    """
    shape = [sizes[axis] for axis in AXES]
    count = jax.device_count() if devices is None else len(devices)
    known = int(np.prod([n for n in shape if n != -1]))
    if shape.count(-1) == 1 and count % known == 0:
        shape[shape.index(-1)] = count // known
    if min(shape) < 1 or int(np.prod(shape)) != count:
        given = ", ".join(f"{axis}={sizes[axis]}" for axis in AXES)
        raise MeshMismatch(
            f"the mesh {given} does not use the {count} devices; the product of the axes must be "
            "that number, and at most one axis may be -1 (all that is left)"
        )
    placed = arrange(shape, jax.devices() if devices is None else devices)
    # Linen's parameters carry no axis types, so the compiler is left to propagate shardings.
    return Mesh(placed, AXES, axis_types=(AxisType.Auto,) * len(AXES))


def arrange(shape: Sequence[int], devices: Sequence[Any]) -> np.ndarray:
    """The devices as an array of `shape`, in which neighbours are neighbours in their slice.

    Several slices of TPUs, which the data-centre network joins, follow one another along `data`.
    Raises MeshMismatch if that axis cannot be split over them.
    """
    slices = len({getattr(device, "slice_index", None) for device in devices})
    if slices == 1:
        return mesh_utils.create_device_mesh(shape, devices, allow_split_physical_axes=True)
    data, *within = shape
    if data % slices:
        raise MeshMismatch(
            f"the axis data of {data} cannot be split over {slices} slices evenly; "
            "fsdp and tensor have to fit into one slice"
        )
    return mesh_utils.create_hybrid_device_mesh(
        (data // slices, *within), (slices, 1, 1), devices, allow_split_physical_axes=True
    )


def batch_sharding(mesh: Mesh) -> NamedSharding:
    """The sharding of every array of a batch: first axis over all data-like axes."""
    return NamedSharding(mesh, P(BATCH))


def check_batch(batch: int, mesh: AnyMesh) -> None:
    """Raises MeshMismatch unless `batch` rows split evenly over the mesh."""
    if batch % ways(mesh):
        raise MeshMismatch(f"a batch of {batch} cannot be split over {ways(mesh)} devices evenly")


def replicate(shape: tuple[int, ...], mesh: AnyMesh) -> P:
    """Whole on every device."""
    del shape, mesh
    return P()


def split(shape: tuple[int, ...], mesh: AnyMesh) -> P:
    """Output features over `tensor`, the largest other divisible dimension over `fsdp`."""
    spec: list[str | None] = [None] * len(shape)
    if int(np.prod(shape)) < MIN_SIZE:
        return P()
    if mesh.shape["tensor"] > 1 and shape[-1] % mesh.shape["tensor"] == 0:
        spec[-1] = "tensor"
    free = [i for i, n in enumerate(shape) if spec[i] is None and n % mesh.shape["fsdp"] == 0]
    if mesh.shape["fsdp"] > 1 and free:
        spec[max(free, key=lambda i: shape[i])] = "fsdp"
    return P(*spec)


Rule = Callable[[tuple[int, ...], AnyMesh], P]
RULES: tuple[tuple[str, Rule], ...] = (
    (r"(kernel|embedding)$", split),
    (r"", replicate),
)  # the first pattern found in the path wins


def infer(tree: Any, mesh: AnyMesh) -> Any:
    """The sharding of every array of `tree` (arrays or shapes) by RULES."""

    def choose(path: tuple, leaf: Any) -> NamedSharding:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        rule = next(rule for pattern, rule in RULES if re.search(pattern, name))
        return NamedSharding(mesh, rule(leaf.shape, mesh))

    return jax.tree_util.tree_map_with_path(choose, tree)
