import dataclasses
import itertools

import jax
import numpy as np
import pytest
from jax.sharding import AbstractMesh
from jax.sharding import PartitionSpec as P

from facespeak_jax.training import sharding


def mesh(data: int, fsdp: int, tensor: int) -> AbstractMesh:
    return AbstractMesh((data, fsdp, tensor), sharding.AXES)


def test_one_device_is_a_mesh_of_one():
    assert dict(sharding.make_mesh({"data": -1, "fsdp": 1, "tensor": 1}).shape) == {
        "data": jax.device_count(),
        "fsdp": 1,
        "tensor": 1,
    }


@pytest.mark.parametrize("sizes", [(-1, 3, 1), (2, 2, 1), (-1, -1, 1)])
def test_a_mesh_that_does_not_fit_is_refused(sizes):
    with pytest.raises(sharding.MeshMismatch, match="1 devices"):
        sharding.make_mesh(dict(zip(sharding.AXES, sizes, strict=True)))


@dataclasses.dataclass(frozen=True)
class Chip:
    """What is asked of a TPU to find its place."""

    device_kind: str
    coords: tuple[int, int, int]
    slice_index: int = 0
    platform: str = "tpu"
    core_on_chip: int = 0

    @property
    def id(self):
        return (self.slice_index, *self.coords)


def chips(kind: str, x: int, y: int, slices: int = 1) -> list[Chip]:
    places = itertools.product(range(slices), range(y), range(x))
    return [Chip(kind, (column, row, 0), number) for number, row, column in places]


@pytest.mark.parametrize("kind", ["TPU v5 lite", "TPU v6 lite"])
def test_neighbours_in_a_mesh_are_neighbours_in_the_slice(kind):
    placed = sharding.arrange((64, 4, 1), chips(kind, 16, 16))
    assert placed.shape == (64, 4, 1)
    assert len({chip.id for chip in placed.flat}) == 256
    coords = np.array([[chip.coords for chip in row] for row in placed[:, :, 0]])
    assert np.all(np.abs(np.diff(coords, axis=1)).sum(-1) == 1)


def test_slices_follow_one_another_along_data():
    both = chips("TPU v5 lite", 4, 4, slices=2)
    placed = sharding.arrange((8, 4, 1), both)
    assert [{chip.slice_index for chip in row} for row in placed[:, :, 0]] == 4 * [{0}] + 4 * [{1}]
    assert len({chip.id for chip in placed.flat}) == 32
    for shape in ((1, 32, 1), (1, 16, 2)):
        with pytest.raises(sharding.MeshMismatch, match="over 2 slices"):
            sharding.arrange(shape, both)


def test_a_batch_must_split_evenly():
    sharding.check_batch(16, mesh(4, 2, 2))
    with pytest.raises(sharding.MeshMismatch, match="batch of 12"):
        sharding.check_batch(12, mesh(4, 2, 2))


@pytest.mark.parametrize(
    ("shape", "spec"),
    [
        ((3, 3, 64, 256), P(None, None, "fsdp", "tensor")),
        ((1024, 30), P("fsdp", "tensor")),
        ((1025, 30), P(None, "tensor")),
        ((1024, 31), P("fsdp", None)),
        ((16, 16), P()),
    ],
)
def test_large_kernels_are_split_by_size(shape, spec):
    assert sharding.split(shape, mesh(2, 4, 2)) == spec


def test_nothing_is_split_over_axes_of_one():
    assert sharding.split((256, 256), mesh(8, 1, 1)) == P(None, None)


def test_moments_follow_their_parameters():
    kernel = jax.ShapeDtypeStruct((256, 256), np.float32)
    bias = jax.ShapeDtypeStruct((2**15,), np.float32)
    found = sharding.infer(
        {"mu": {"kernel": kernel}, "kernel": kernel, "bias": bias}, mesh(1, 2, 1)
    )
    assert found["mu"]["kernel"].spec == found["kernel"].spec == P("fsdp", None)
    assert found["bias"].spec == P()
