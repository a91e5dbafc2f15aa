"""What each process of `test_stages.py` runs: a stage's loss and gradients on several meshes.

The process begins with `begin`, before anything else is imported: in double precision every float32
of the project and of Flax means float64, so that only the order of sums is left to differ.
"""

import json
import sys
import tempfile
from typing import Any

DEVICES = 8


def begin(double: bool, devices: int = DEVICES) -> None:
    """The devices; with `double`, float32 becomes another name of float64."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", devices)
    jax.config.update("jax_disable_most_optimizations", True)
    if double:
        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp

        jnp.float32 = jnp.float64


class Slopes:
    """A stage of `smoke`, a batch and parameters, and their loss and gradients on any mesh."""

    def __init__(self, name: str, double: bool):
        import numpy as np

        from configs import smoke
        from facespeak_jax import stages
        from facespeak_jax.training import sharding

        sharding.MIN_SIZE = 64  # the arrays of this size are split, too
        self.wide = np.float64 if double else np.float32
        config = smoke.get_config(name)
        config.data.batch = DEVICES
        if double:
            config.train.dtype = "float64"
        self.stage = stages.build(config)
        self.params, self.batch = self._begun(config)

    def _begun(self, config: Any) -> tuple[Any, Any]:
        """Parameters of which none is zero: that would hide what is behind it. And a batch."""
        import jax
        import numpy as np

        from facespeak_jax.data import pipeline
        from facespeak_jax.stages.stage import Prepared

        batches = pipeline.batches(config, self.stage.example(), split="train")
        batch = self._widened(dict(batches[0]))
        params = jax.device_get(jax.jit(self.stage.init)(jax.random.key(0), batch))
        if isinstance(self.stage, Prepared):
            with tempfile.TemporaryDirectory() as workdir:
                self.stage.prepare(params, batches.sources, workdir)
                batch = self._widened(dict(batches[0]))
        rng = np.random.default_rng(0)
        return jax.tree.map(
            lambda x: x + (0.05 * rng.standard_normal(x.shape)).astype(x.dtype), params
        ), batch

    def _widened(self, tree: Any) -> Any:
        import jax
        import numpy as np

        return jax.tree.map(
            lambda x: np.asarray(x, self.wide if np.asarray(x).dtype.kind == "f" else None), tree
        )

    def rounded(self) -> Any:
        """The parameters, each changed by about half a unit of its last place."""
        import jax
        import numpy as np

        rng = np.random.default_rng(1)
        half = np.finfo(self.wide).eps / 2
        return jax.tree.map(
            lambda x: (x * (1 + half * rng.choice([-1.0, 1.0], x.shape))).astype(x.dtype),
            self.params,
        )

    def on(self, sizes: list[int], params: Any = None) -> tuple[float, Any, int]:
        """Loss, gradients on the host, and over how many pieces the most split array lies."""
        import jax
        import jax.numpy as jnp
        import numpy as np
        from jax.experimental import multihost_utils

        from facespeak_jax.data import pipeline
        from facespeak_jax.training import sharding, step

        devices = jax.devices()[: int(np.prod(sizes))]
        mesh = sharding.make_mesh(dict(zip(sharding.AXES, sizes, strict=True)), devices)
        split = sharding.batch_sharding(mesh)
        given = self.params if params is None else params

        def slopes(params: Any, batch: Any) -> Any:
            late = jnp.int32(10**6)  # nothing waits for a first step any more
            return step.gradients(self.stage, params, batch, jax.random.key(1), late, remat=False)

        with jax.set_mesh(mesh):
            placed = jax.tree.map(
                lambda x, where: jax.make_array_from_callback(x.shape, where, lambda i: x[i]),
                given,
                sharding.infer(given, mesh),
            )
            rows = pipeline.local_rows(split, DEVICES)
            own = {name: x[np.asarray(rows)] for name, x in self.batch.items()}
            found, values = jax.jit(slopes)(placed, pipeline.to_device(own, split))
            pieces = [x.size // x.addressable_shards[0].data.size for x in jax.tree.leaves(placed)]
            if jax.process_count() > 1:
                found = multihost_utils.process_allgather(found, tiled=True)
        return float(values["loss"]), jax.device_get(found), max(pieces)


def gradients(name: str, meshes: list[list[int]], double: bool) -> dict[str, Any]:
    """How far loss and gradients on each mesh are from those on one device.

    Returns, for each mesh, the relative difference of the loss, over how many pieces the most split
    array lies, and of every leaf how far its gradient is off, relative to its norm. In single
    precision also, as "rounding", how far it is off on one device where every parameter is changed
    by half a unit of its last place: more than that cannot be asked of any order of sums.
    """
    import jax
    import numpy as np

    slopes = Slopes(name, double)
    loss, wanted, _ = slopes.on([1, 1, 1])
    whole = float(np.sqrt(sum(np.square(x).sum() for x in jax.tree.leaves(wanted))))
    least = 1e-6 * whole  # some slopes are zero but for rounding: a bias before a norm

    def apart(found: Any) -> dict[str, float]:
        off = jax.tree.map(
            lambda a, b: float(np.linalg.norm(a - b) / max(np.linalg.norm(a), least)), wanted, found
        )
        leaves = jax.tree_util.tree_flatten_with_path(off)[0]
        name = jax.tree_util.keystr
        return {name(path, simple=True, separator="/"): value for path, value in leaves}

    told: dict[str, Any] = {}
    for sizes in meshes:
        other, found, pieces = slopes.on(sizes)
        told["x".join(map(str, sizes))] = {
            "loss": abs(other / loss - 1),
            "gradient": apart(found),
            "pieces": pieces,
        }
    if not double:
        told["rounding"] = apart(slopes.on([1, 1, 1], slopes.rounded())[1])
    return told


def shared(name: str, mesh: list[int], address: str, count: int, index: int, out: str) -> None:
    """The loss and gradients on a mesh over the devices of several processes, into a file."""
    import jax
    import numpy as np

    if count > 1:
        jax.distributed.initialize(address, count, index)
    loss, found, _ = Slopes(name, double=True).on(mesh)
    if index == 0:
        np.savez(out, loss, *jax.tree.leaves(found))
    if count > 1:
        jax.distributed.shutdown()


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    if "out" in job:
        begin(True, DEVICES // job["count"])
        shared(**job)
    else:
        begin(job["double"])
        print(json.dumps(gradients(**job)))
