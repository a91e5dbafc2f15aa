"""What the configs promise about the stages."""

import cloudpickle
import jax
import numpy as np
import pytest

from configs import recipe, smoke
from facespeak_jax import stages
from facespeak_jax.data import pipeline


@pytest.mark.parametrize("name", stages.STAGES)
def test_every_part_that_can_come_from_upstream_is_one_of_the_stage(name):
    config = smoke.get_config(name)
    stage = stages.build(config)
    batch = pipeline.batches(config, stage.example(), split="train")[0]
    groups = jax.eval_shape(stage.init, jax.random.key(0), batch)
    parts = {part for group in groups.values() for part in group}
    assert set(recipe.OUTSIDE.get(name, ())) <= parts
    # A vocoder among a stage's upstream parts that is not its own to train is there when asked for.
    assert set(config.upstream) - parts <= {"vocoder"}


@pytest.mark.parametrize("name", stages.STAGES)
def test_other_processes_can_make_the_batches(name):
    config = smoke.get_config(name)
    batches = pipeline.batches(config, stages.build(config).example(), split="train")
    sent = cloudpickle.loads(cloudpickle.dumps(batches))
    jax.tree.map(np.testing.assert_array_equal, sent[3], batches[3])


def test_unknown_stages_and_names_are_refused():
    with pytest.raises(ValueError, match="no stage 'sing'; the stages are face, sync"):
        smoke.get_config("sing")
    with pytest.raises(KeyError):
        recipe.experiment(
            "sync",
            model=smoke.MODEL,
            sync=smoke.SYNC,
            paths=(),
            batch=4,
            override={"trian": {"steps": 3}},
        )
