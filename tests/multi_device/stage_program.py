"""What each process of `test_stages.py` runs: a stage's loss and gradients on several meshes.

The process begins with `begin`, before anything else is imported: in double precision every float32
of the project and of Flax means float64, so that only the order of sums is left to differ.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
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
    """A stage of `smoke` and a batch: the loss and its gradients on any mesh.

    `begun` is the `begun` of another one: fresh parameters and the batch.
    """

    def __init__(self, name: str, double: bool, begun: dict[str, Any] | None = None):
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
        self.begun = begun or self._begin(config)

    def _begin(self, config: Any) -> dict[str, Any]:
        import jax

        from facespeak_jax.data import pipeline
        from facespeak_jax.stages.stage import Prepared

        batches = pipeline.batches(config, self.stage.example(), split="train")
        batch = self._widened(dict(batches[0]))
        params = jax.device_get(jax.jit(self.stage.init)(jax.random.key(0), batch))
        if isinstance(self.stage, Prepared):
            with tempfile.TemporaryDirectory() as workdir:
                self.stage.prepare(params, batches.sources, workdir)
                batch = self._widened(dict(batches[0]))
        return {"params": params, "batch": batch}

    def _widened(self, tree: Any) -> Any:
        import jax
        import numpy as np

        return jax.tree.map(
            lambda x: np.asarray(x, self.wide if np.asarray(x).dtype.kind == "f" else None), tree
        )

    def drawn(self, seed: int) -> Any:
        """Parameters of which none is zero: that would hide what is behind it."""
        import jax
        import numpy as np

        rng = np.random.default_rng(seed)
        return jax.tree.map(
            lambda x: x + (0.05 * rng.standard_normal(x.shape)).astype(x.dtype),
            self.begun["params"],
        )

    def rounded(self, params: Any) -> Any:
        """The parameters, each changed by about half a unit of its last place."""
        import jax
        import numpy as np

        rng = np.random.default_rng(1)
        half = np.finfo(self.wide).eps / 2
        return jax.tree.map(
            lambda x: (x * (1 + half * rng.choice([-1.0, 1.0], x.shape))).astype(x.dtype), params
        )

    def on(self, sizes: list[int]) -> tuple[Callable[[Any], tuple[float, Any]], int]:
        """What gives the loss of parameters and, `held`, its gradients, compiled for a mesh.

        And over how many pieces the most split array lies.
        """
        import jax
        import jax.numpy as jnp
        import numpy as np

        from facespeak_jax.data import pipeline
        from facespeak_jax.training import sharding, step

        devices = jax.devices()[: int(np.prod(sizes))]
        mesh = sharding.make_mesh(dict(zip(sharding.AXES, sizes, strict=True)), devices)
        split = sharding.batch_sharding(mesh)
        rows = np.asarray(pipeline.local_rows(split, DEVICES))
        own = {name: x[rows] for name, x in self.begun["batch"].items()}
        batch = pipeline.to_device(own, split)

        def placed(params: Any) -> Any:
            return jax.tree.map(
                lambda x, where: jax.make_array_from_callback(x.shape, where, lambda i: x[i]),
                params,
                sharding.infer(params, mesh),
            )

        def slopes(params: Any, batch: Any) -> Any:
            late = jnp.int32(10**6)  # nothing waits for a first step any more
            return step.gradients(self.stage, params, batch, jax.random.key(1), late, remat=False)

        example = placed(self.begun["params"])
        with jax.set_mesh(mesh):
            program = jax.jit(slopes).lower(example, batch).compile()

        def run(params: Any) -> tuple[float, Any]:
            found, values = program(placed(params), batch)
            return float(values["loss"]), jax.tree.map(held, found)

        pieces = [x.size // x.addressable_shards[0].data.size for x in jax.tree.leaves(example)]
        return run, max(pieces)


def held(x: Any) -> Any:
    """An array on the host; NaN where another process holds it."""
    import numpy as np

    found = np.full(x.shape, np.nan, x.dtype)
    for shard in x.addressable_shards:
        found[shard.index] = shard.data
    return found


def named(tree: Any) -> dict[str, Any]:
    """The leaves of a tree by their paths."""
    import jax

    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in leaves}


def gradients(name: str, meshes: list[list[int]], double: bool, draws: int) -> dict[str, Any]:
    """How far loss and gradients on each mesh are from those on one device.

    Returns, for each mesh, the largest relative difference of the loss at any of `draws`
    parameters, over how many pieces the most split array lies, and how far every leaf's gradient is
    off where it is least, relative to its norm. In single precision also, as "rounding", how far it
    is off on one device where every parameter is changed by half a unit of its last place: more
    than that cannot be asked of any order of sums.

    It is least for the sake of kinks: a difference under an L1 loss that is zero but for rounding
    may have another sign on another mesh, and a flow end on the other side of a pixel's centre, and
    gradients jump. In stage `face` one of 200000 differences of neighbouring pixels makes 9e-5, one
    pixel of the flow 1e-3. Some parameters lie that close to a kink, on meshes that change frames
    by rounding (those with `tensor`); what is wrong is wrong at all parameters.
    """
    slopes = Slopes(name, double)
    drawn = [slopes.drawn(seed) for seed in range(draws)]
    alone, _ = slopes.on([1, 1, 1])
    wanted = [alone(params) for params in drawn]

    def least(found: list[Any]) -> dict[str, float]:
        each = [apart(one, other) for (_, one), (_, other) in zip(wanted, found, strict=True)]
        return {leaf: min(off[leaf] for off in each) for leaf in each[0]}

    told: dict[str, Any] = {}
    for sizes in meshes:
        run, pieces = slopes.on(sizes)
        found = [run(params) for params in drawn]
        told["x".join(map(str, sizes))] = {
            "loss": max(abs(b / a - 1) for (a, _), (b, _) in zip(wanted, found, strict=True)),
            "gradient": least(found),
            "pieces": pieces,
        }
    if not double:
        told["rounding"] = least([alone(slopes.rounded(params)) for params in drawn])
    return told


def apart(wanted: Any, found: Any) -> dict[str, float]:
    """How far each leaf is off, relative to its norm.

    Some slopes are zero but for rounding: a bias before a norm. They are not off where they are
    less than the last place of all slopes' norm in both, whatever rounding has left of them.
    """
    import jax
    import numpy as np

    whole = float(np.sqrt(sum(np.square(x).sum() for x in jax.tree.leaves(wanted))))

    def off(a: Any, b: Any) -> float:
        norms = np.linalg.norm(a), np.linalg.norm(b)
        if max(norms) < np.finfo(a.dtype).eps * whole:
            return 0.0
        return float(np.linalg.norm(a - b) / max(norms[0], 1e-6 * whole))

    return named(jax.tree.map(off, wanted, found))


def shared(name: str, mesh: list[int], address: str, count: int, index: int, place: str) -> None:
    """The loss and gradients on a mesh over the devices of several processes.

    Each writes what it holds of them to a file of its own, so that nothing has to be sent. One
    alone leaves what it begins with to several, whose work is then the mesh's alone.
    """
    import numpy as np
    from flax import serialization

    from facespeak_jax.training import processes

    group = processes.Group(address, count, index) if count > 1 else None
    kept = Path(place, "begun")
    with processes.Joined(group, wait=120, silence=120):
        begun: Any = serialization.msgpack_restore(kept.read_bytes()) if group else None
        slopes = Slopes(name, True, begun)
        if not group:
            kept.write_bytes(serialization.msgpack_serialize(slopes.begun))
        run, _ = slopes.on(mesh)
        meet(place, count, index)
        loss, found = run(slopes.drawn(0))
        np.savez(Path(place, f"{count}.{index}.npz"), loss=loss, **named(found))


def meet(place: str, count: int, index: int) -> None:
    """Returns when all processes are here.

    Who is more than 30 s late to a first collective, say from compiling on a busy machine, finds
    that Gloo has given up.
    """
    Path(place, f"{count}.{index}.here").touch()
    while not all(Path(place, f"{count}.{other}.here").exists() for other in range(count)):
        time.sleep(0.01)


if __name__ == "__main__":
    job = json.loads(sys.argv[1])
    if "count" in job:
        begin(True, DEVICES // job["count"])
        shared(**job)
    else:
        begin(job["double"])
        Path(job.pop("out")).write_text(json.dumps(gradients(**job)))
