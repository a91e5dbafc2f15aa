import jax
import numpy as np
import pytest

from facespeak_jax.data import pipeline
from facespeak_jax.training import plan, sharding
from tests import toy


@pytest.fixture(scope="module")
def config(corpus):
    return toy.config(corpus)


@pytest.fixture(scope="module")
def batch(config):
    split = sharding.batch_sharding(sharding.make_mesh(dict(config.mesh)))
    return pipeline.to_device(pipeline.batches(config, toy.example, split="train")[0], split)


def test_shapes_do_as_well_as_arrays(config, batch):
    mesh = sharding.make_mesh(dict(config.mesh))
    shapes = {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
        for name, x in batch.items()
    }
    stage = toy.ToyStage(config)
    one, other = (plan.make(stage, config, mesh, given) for given in (shapes, batch))
    assert one.state == other.state
    assert set(one.optimizers) == {"model", "critic"}
    for planned, given in ((one, shapes), (other, batch)):
        advance, empty = planned.programs(given)
        now = jax.jit(planned.fresh, out_shardings=planned.layout)(jax.random.key(0), batch)
        assert jax.tree.map(lambda x: x.sharding, now) == planned.layout
        now, seen, loss = advance(now, empty(), batch, jax.random.key(1))
        assert int(now.step) == 1
        assert float(seen.compute()["loss"]) == pytest.approx(float(loss))
        assert np.isfinite(float(loss))
