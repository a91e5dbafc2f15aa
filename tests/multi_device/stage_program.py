"""What each process of `test_stages.py` runs: a stage's loss and gradients on several meshes.

The process begins with `begin`, before anything else is imported: in double precision every float32
of the project and of Flax means float64, so that only the order of sums is left to differ.
"""

import json
import sys
import tempfile
from typing import Any

DEVICES = 8


def begin(double: bool) -> None:
    """Eight devices; with `double`, float32 becomes another name of float64."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", DEVICES)
    jax.config.update("jax_disable_most_optimizations", True)
    if double:
        jax.config.update("jax_enable_x64", True)
        import jax.numpy as jnp

        jnp.float32 = jnp.float64


def gradients(name: str, meshes: list[list[int]], double: bool) -> dict[str, Any]:
    """How far loss and gradients on each mesh are from those on the first.

    Returns, for each further mesh, the relative difference of the loss, the largest difference of
    a leaf's gradient relative to its norm, and over how many pieces the most split one lies.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from configs import smoke
    from facespeak_jax import stages
    from facespeak_jax.data import pipeline
    from facespeak_jax.stages.stage import Prepared
    from facespeak_jax.training import sharding, step

    sharding.MIN_SIZE = 64  # the arrays of this size are split, too
    config = smoke.get_config(name)
    config.data.batch = DEVICES
    if double:
        config.train.dtype = "float64"
    stage = stages.build(config)
    batches = pipeline.batches(config, stage.example(), split="train")

    def widened(tree: Any) -> Any:
        wide = np.float64 if double else np.float32
        return jax.tree.map(
            lambda x: np.asarray(x, wide) if np.asarray(x).dtype.kind == "f" else np.asarray(x),
            tree,
        )

    batch = widened(dict(batches[0]))
    params = jax.device_get(jax.jit(stage.init)(jax.random.key(0), batch))
    if isinstance(stage, Prepared):
        with tempfile.TemporaryDirectory() as workdir:
            stage.prepare(params, batches.sources, workdir)
            batch = widened(dict(batches[0]))
    rng = np.random.default_rng(0)  # what begins at zero would hide what is behind it
    params = jax.tree.map(
        lambda x: x + (0.05 * rng.standard_normal(x.shape)).astype(x.dtype), params
    )

    def slopes(params: Any, batch: Any) -> Any:
        late = jnp.int32(10**6)  # nothing waits for a first step any more
        return step.gradients(stage, params, batch, jax.random.key(1), late, remat=False)

    def on(sizes: list[int]) -> tuple[float, Any, int]:
        devices = jax.devices()[: int(np.prod(sizes))]
        mesh = sharding.make_mesh(dict(zip(sharding.AXES, sizes, strict=True)), devices)
        with jax.set_mesh(mesh):
            placed = jax.device_put(params, sharding.infer(params, mesh))
            rows = jax.device_put(batch, sharding.batch_sharding(mesh))
            found, values = jax.jit(
                lambda p, b: step.gradients(
                    stage, p, b, jax.random.key(1), jnp.int32(10**6), remat=False
                )
            )(placed, rows)
        pieces = [x.size // x.addressable_shards[0].data.size for x in jax.tree.leaves(placed)]
        return float(values["loss"]), jax.device_get(found), max(pieces)

    loss, wanted, _ = on(meshes[0])
    whole = float(np.sqrt(sum(np.square(x).sum() for x in jax.tree.leaves(wanted))))
    least = 1e-6 * whole  # some slopes are zero but for rounding: a bias before a norm
    told = {}
    for sizes in meshes[1:]:
        other, found, pieces = on(sizes)
        apart = jax.tree.map(
            lambda a, b: float(np.linalg.norm(a - b) / max(np.linalg.norm(a), least)), wanted, found
        )
        flat = jax.tree_util.tree_flatten_with_path(apart)[0]
        path, worst = max(flat, key=lambda item: item[1])
        told["x".join(map(str, sizes))] = {
            "loss": abs(other / loss - 1),
            "gradient": worst,
            "where": jax.tree_util.keystr(path, simple=True, separator="/"),
            "pieces": pieces,
        }
    return told


if __name__ == "__main__":
    of, wide = sys.argv[1], sys.argv[3] == "double"
    begin(wide)
    print(json.dumps(gradients(of, json.loads(sys.argv[2]), wide)))
