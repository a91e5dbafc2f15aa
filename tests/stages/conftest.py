"""A stage as the loop begins it. A module gives the fixture `stage`, made for `corpus`."""

import jax
import jax.numpy as jnp
import pytest

from facespeak_jax.data import pipeline, records


@pytest.fixture(scope="module")
def clips(corpus):
    return records.open_split(corpus, "train")


@pytest.fixture(scope="module")
def batch(stage):
    """The first batch of training, on the device."""
    made = pipeline.batches(stage.config, stage.example(), split="train")[0]
    return {name: jnp.asarray(value) for name, value in made.items()}


@pytest.fixture(scope="module")
def params(stage, batch):
    """Fresh parameters."""
    return jax.jit(stage.init)(jax.random.key(0), batch)
