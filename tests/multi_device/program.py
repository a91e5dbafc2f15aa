"""What each process of `test_mesh.py` runs: a few toy steps, without the loop's writers."""

import jax
import numpy as np
import optax

from facespeak_jax.data import pipeline
from facespeak_jax.training import metrics, sharding, state, step
from tests import toy


def train(corpus: str, sizes: dict[str, int], steps: int = 3) -> dict:
    """Losses of the steps, the final norm, and over how many pieces large arrays are split."""
    config = toy.config(corpus)
    stage = toy.ToyStage(config)
    mesh = sharding.make_mesh(sizes)
    split = sharding.batch_sharding(mesh)
    rows = pipeline.local_rows(split, config.data.batch)
    batches = pipeline.batches(config, toy.example, split="train", rows=rows)
    optimizers = {group: state.optimizer(config.optim[group], steps) for group in state.TRAINED}
    with jax.set_mesh(mesh):
        batch = pipeline.to_device(batches[0], split)
        key = jax.random.key(0)

        def fresh(key, batch):
            return state.create(stage.init(key, batch), optimizers)

        layout = sharding.infer(jax.eval_shape(fresh, key, batch), mesh)
        now = jax.jit(fresh, out_shardings=layout)(key, batch)
        names = step.metric_names(stage, config.train, optimizers, now.params, batch)
        advance = jax.jit(
            step.make(stage, config.train, optimizers), out_shardings=(layout, None, None)
        )
        seen, losses = metrics.empty(names), []
        for i in range(steps):
            now, seen, loss = advance(now, seen, pipeline.to_device(batches[i], split), key)
            losses.append(float(loss))
    kernels = {
        "params": now.params["model"]["decoder"]["Dense_0"]["kernel"],
        "opt_state": now.opt_state["model"][1][0].mu["decoder"]["Dense_0"]["kernel"],
        "ema": now.ema["decoder"]["Dense_0"]["kernel"],
    }
    return {
        "losses": losses,
        "norm": float(optax.global_norm(now.params)),
        "pieces": {k: x.size // x.addressable_shards[0].data.size for k, x in kernels.items()},
        "batch_rows": int(np.shape(batch["image"].addressable_shards[0].data)[0]),
        "mesh": dict(mesh.shape),
    }
