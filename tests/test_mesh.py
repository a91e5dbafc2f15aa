import json
import subprocess
import sys

import jax.numpy as jnp
import numpy as np

from facespeak_jax import mesh

PROGRAM = """
import functools, json
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", 8)
from facespeak_jax import mesh
from facespeak_jax.face import warp
from facespeak_jax.face.kernels import sample

def on(sizes, axes=mesh.AXES):
    return jax.make_mesh(sizes, axes, axis_types=(AxisType.Auto,) * len(axes))

def run(b, t):
    rng = np.random.default_rng(0)
    features = jnp.float32(rng.normal(size=(b, 8, 8, 16)))
    x, y = jnp.float32(rng.uniform(0, 7, size=(2, b, t, 8, 8)))
    slope = jnp.float32(rng.normal(size=(b, t, 8, 8, 16)))

    def both(features, x, y, slope):
        out = sample.forward(features, x, y, interpret=True)
        return out, *sample.backward(warp._gather, features, x, y, slope, interpret=True)

    out, back = jax.vjp(warp._gather, features, x, y)
    wanted = (out, *back(slope))
    found = jax.jit(both)(features, x, y, slope)
    apart = max(float(jnp.abs(one - other).max()) for one, other in zip(found, wanted))
    return apart, found[0].addressable_shards[0].data.shape[:2]

told = []
for sizes, axes in (((2, 2, 2), mesh.AXES), ((1, 1, 8), mesh.AXES), ((8,), ("frames",))):
    with jax.set_mesh(on(sizes, axes)):
        told.append([run(*shape) for shape in ((4, 1), (1, 8), (3, 5))])
split = jax.sharding.PartitionSpec("data")
with jax.set_mesh(on((8, 1, 1))):
    inside = jax.shard_map(
        lambda x: mesh.by_frames(lambda x: x + x.sum(), (), (x,)), in_specs=split, out_specs=split
    )
    told.append(jax.jit(inside)(jnp.arange(16.0).reshape(8, 2)).tolist())
print(json.dumps(told))
"""


def test_kernels_run_on_each_device_for_its_own_pictures_or_frames():
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    *told, inside = json.loads(done.stdout.splitlines()[-1])
    assert inside == [[6 * n + 1, 6 * n + 2] for n in range(8)]  # not split once more
    assert all(apart < 1e-5 for of_mesh in told for apart, _ in of_mesh)
    whole = [[4, 1], [1, 8], [3, 5]]
    # Four ways over the data-like axes: sources, or of a single source the frames, or neither.
    assert [shape for _, shape in told[0]] == [[1, 1], [1, 2], [3, 5]]
    assert [[shape for _, shape in of_mesh] for of_mesh in told[1:]] == [whole, whole]


def test_without_a_mesh_it_is_just_the_call():
    x = jnp.arange(6.0).reshape(3, 2)
    found = mesh.by_frames(lambda source, frames: source + frames, (x,), (x,))
    np.testing.assert_array_equal(found, 2 * x)
