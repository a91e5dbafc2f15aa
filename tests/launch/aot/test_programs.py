import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

from configs import smoke
from facespeak_jax import pipeline as speaking
from facespeak_jax import stages
from facespeak_jax.data import pipeline
from facespeak_jax.training import sharding
from launch.aot import compiling, examples, programs
from launch.aot.pairs import Pair

ROOT = Path(__file__).parents[3]


def products(function, *shapes):
    arguments = [jax.ShapeDtypeStruct(shape, np.float32) for shape in shapes]
    return programs.products(jax.jit(function).trace(*arguments).jaxpr.jaxpr)


def test_products_of_matrices_and_loops():
    once = 2 * 3 * 4 * 5
    assert products(jnp.dot, (3, 4), (4, 5)) == once
    assert products(lambda a, b: jnp.einsum("zij,zjk->zik", a, b), (7, 3, 4), (7, 4, 5)) == 7 * once

    def loop(a, b):
        body = lambda i, x: x + i * a @ b  # noqa: E731
        return jax.lax.fori_loop(0, 6, body, jnp.zeros((3, 5)))

    assert products(loop, (3, 4), (4, 5)) == 6 * once

    def branches(a, b):
        return jax.lax.cond(a.sum() > 0, lambda: a @ b, lambda: a @ b + a @ b)

    assert products(branches, (3, 4), (4, 5)) == 2 * once


@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (1, 2)])
def test_products_of_a_convolution_and_its_gradients(stride, groups):
    def convolve(x, kernel):
        return jax.lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    shapes = (2, 8, 8, 6), (3, 3, 6 // groups, 4)
    forward = 2 * 2 * (8 // stride) ** 2 * 4 * 9 * (6 // groups)
    assert products(convolve, *shapes) == forward

    def both(x, kernel):
        return jax.grad(lambda *a: jnp.square(convolve(*a)).sum(), (0, 1))(x, kernel)

    assert products(both, *shapes) == 3 * forward


def test_what_is_recomputed_is_not_useful():
    def loss(a, b):
        return jnp.sin(jnp.sin(a @ b)).sum()

    kept = jax.checkpoint(loss, policy=lambda primitive, *_, **__: primitive.name == "dot_general")
    shapes = (3, 4), (4, 5)
    assert products(jax.grad(kept), *shapes) == products(jax.grad(loss), *shapes)


@pytest.mark.parametrize("name", stages.STAGES)
def test_made_up_batches_have_the_shapes_of_real_ones(name):
    config = smoke.get_config(name)
    stage = stages.build(config)
    where = NamedSharding(sharding.make_mesh({"data": 1, "fsdp": 1, "tensor": 1}), P())
    found = examples.batch(stage, config.data.batch, where)
    real = pipeline.batches(config, stage.example(), split="train")[0]
    assert {name: (x.shape, x.dtype) for name, x in found.items()} == {
        name: (x.shape, x.dtype) for name, x in real.items()
    }


def test_a_step_compiles_from_shapes_for_the_devices_given():
    pair = Pair("configs/smoke.py:sync", "cpu:1", 4, override=(("optim.model.lr", 1e-3),))
    ((name, traced),) = programs.traced(pair, jax.devices())
    assert name == "step"
    found = compiling.described(traced.lower().compile())
    assert found["arguments"] > 0
    assert found["collectives"] == []
    # XLA counts what is no product as well.
    assert 0.5 * programs.products(traced.jaxpr.jaxpr) < found["flops"]


def test_the_sampler_is_traced_whole():
    pair = Pair("configs/smoke.py:joint", "cpu:1", 1, "sampler")
    names = [name for name, _ in programs.traced(pair, jax.devices())]
    assert names == ["see", "read", "say", "move", f"render {speaking.CHUNK} frames"]


ACROSS = """
import json, sys
import jax
from launch.aot import compiling, programs
from launch.aot.pairs import Pair
pair = Pair("configs/smoke.py:face", "cpu:8", 1)
((_, traced),) = programs.traced(pair, jax.devices())
json.dump(compiling.described(traced.lower().compile()), sys.stdout)
"""


@pytest.mark.slow
def test_eight_devices_reduce_their_gradients():
    flags = "--xla_force_host_platform_device_count=8"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    environment["JAX_DISABLE_MOST_OPTIMIZATIONS"] = "1"  # of arithmetic, not of the layout
    command = [sys.executable, "-c", ACROSS]
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
    found = json.loads(done.stdout)
    # The weights are whole everywhere, so every gradient is summed over all, and little else is
    # sent: what a device knows of its own pictures stays there.
    weights = found["arguments"] / 4  # with two moments and an average
    summed = sum(one["bytes"] for one in found["collectives"] if one["kind"] == "all-reduce")
    others = [one for one in found["collectives"] if one["kind"] != "all-reduce"]
    assert 0.5 * weights < summed < 2 * weights
    assert sum(one["bytes"] for one in others) < 0.01 * weights, others


@pytest.mark.slow
def test_a_step_compiles_for_tpus_that_are_not_here(tmp_path):
    pytest.importorskip("libtpu")
    pair = Pair("configs/smoke.py:face", "v5e:2x2", 2)
    entry = compiling.run(pair, tmp_path)
    assert "error" not in entry, entry
    assert entry["devices"] == 4
    assert entry["replicated"] == []
    (program,) = entry["programs"]
    assert program["rematerialised"] == 0
    assert program["code"] > 0
    assert program["hbm"] > 0
    (log,), (text,) = tmp_path.glob("*.log"), tmp_path.glob("*.hlo")
    assert "step" in log.read_text()
    assert text.read_text().startswith("HloModule jit_step")
    assert sum(one["sent"] for one in program["collectives"]) > 0
