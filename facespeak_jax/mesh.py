"""The axes of a mesh of devices by name, and what of a program each device does by itself."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import AbstractMesh, AxisType, Mesh
from jax.sharding import PartitionSpec as P

AXES = ("data", "fsdp", "tensor")
BATCH = AXES[:2]  # those that examples, or the frames of a clip, are split over


def ways(mesh: Mesh | AbstractMesh) -> int:
    """Over how many devices examples are split; 1 where the mesh has no axes for them."""
    return math.prod(mesh.shape[axis] for axis in BATCH) if set(BATCH) <= set(mesh.shape) else 1


def by_frames(
    run: Callable[..., Any],
    sources: Sequence[jax.Array],
    frames: Sequence[jax.Array],
    *,
    summed: bool = False,
) -> Any:
    """`run(*sources, *frames)`, by each device for sources or frames of its own.

    For what the compiler cannot split by itself. Sources are (b, …) and frames (b, t, …): b is
    split, or else t, if they divide evenly. The results are like frames, or sums over the frames of
    each source if `summed`. Without a mesh, or inside of such a split, it is just the call.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.size <= 1 or AxisType.Manual in mesh.axis_types:
        return run(*sources, *frames)
    (b, t), count = frames[0].shape[:2], ways(mesh)
    own = split = P()
    if count > 1 and b % count == 0:
        own = split = P(BATCH)
    elif count > 1 and t % count == 0:
        split = P(None, BATCH)

    def local(*arguments: jax.Array) -> Any:
        found = run(*arguments)
        return jax.lax.psum(found, BATCH) if summed and own != split else found

    return jax.shard_map(
        local,
        mesh=mesh,
        in_specs=(own,) * len(sources) + (split,) * len(frames),
        out_specs=own if summed else split,
        check_vma=False,
    )(*sources, *frames)
