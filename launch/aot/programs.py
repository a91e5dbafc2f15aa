"""The programs of a pair, traced for devices that are not here: the loop's step, the sampler."""

import functools
import importlib
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import ShapeDtypeStruct
from jax.experimental import topologies
from jax.extend.core import jaxprs_in_params
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jax.stages import Traced
from ml_collections import ConfigDict

from facespeak_jax import model, pipeline, sampling, stages
from facespeak_jax.rates import MELS, MELS_PER_FRAME
from facespeak_jax.stages.stage import Stage
from facespeak_jax.training import chips, plan, sharding
from launch.aot import examples, generators
from launch.aot.pairs import Pair

WHOLE = ("step", "sampler")  # what all devices do together; of a generator alone one tells all

# A sentence of ten seconds, in the sampler's buckets.
TOKENS, FRAMES = pipeline.TOKEN_BUCKETS[1], pipeline.FRAME_BUCKETS[4]


def devices(pair: Pair) -> list[jax.Device]:
    """The TPUs to compile for, or one of them for a generator by itself; needs
    `compiling.ENVIRONMENT`."""
    # The two cores of a v4 chip are one device in training.
    options = {"chip_config_name": "megacore"} if pair.chip is chips.CHIPS["v4"] else {}
    found = topologies.get_topology_desc(
        platform="tpu", topology_name=pair.topology, **options
    ).devices
    return list(found) if pair.what in WHOLE else [found[0]]


def read_config(pair: Pair, count: int) -> ConfigDict:
    """The config of a pair on `count` devices."""
    path, _, stage = pair.config.partition(":")
    config = importlib.import_module(path.removesuffix(".py").replace("/", ".")).get_config(stage)
    config.update_from_flattened_dict(
        {key: tuple(x) if isinstance(x, list) else x for key, x in pair.override}
    )
    config.data.batch = pair.rows * count
    return config


def traced(pair: Pair, on: list[jax.Device]) -> Iterator[tuple[str, Traced]]:
    """Name and trace of every program. Runs nothing: `on` need not be of this machine."""
    config = read_config(pair, len(on))
    sizes = dict(config.mesh) if pair.what in WHOLE else dict.fromkeys(sharding.AXES, 1)
    mesh = sharding.make_mesh(sizes, on)
    with jax.set_mesh(mesh):
        if pair.what == "generator":
            yield from generators.shipped(config, mesh)
        elif pair.what == "plain generator":
            yield from generators.plainly(config.data.batch, mesh)
        else:
            make = _step if pair.what == "step" else _sampler
            yield from make(stages.build(config), config, mesh)


def _step(stage: Stage, config: ConfigDict, mesh: Mesh) -> Iterator[tuple[str, Traced]]:
    """The step as `training.loop` compiles it."""
    sharding.check_batch(config.data.batch, mesh)
    batch: Any = examples.batch(stage, config.data.batch, sharding.batch_sharding(mesh))
    planned = plan.make(stage, config, mesh, batch)
    advance, empty = planned.programs(batch)
    seen = _placed(jax.eval_shape(empty), NamedSharding(mesh, P()))
    key = jax.eval_shape(lambda: jax.random.key(0))
    compiled: Any = advance
    yield "step", compiled.trace(planned.state, seen, batch, key)


def _sampler(stage: Stage, config: ConfigDict, mesh: Mesh) -> Iterator[tuple[str, Traced]]:
    """What `pipeline.FaceSpeaker` compiles, over clips that are split over the devices."""
    rows, split = config.data.batch, NamedSharding(mesh, P(sharding.AXES))
    batch: Any = examples.batch(stage, rows, split)
    groups = jax.eval_shape(lambda given: stage.init(jax.random.key(0), given), batch)
    machine = model.build(config.model.to_dict())
    spoken = jax.eval_shape(
        lambda given: machine.init(jax.random.key(0), given, method="vocode"),
        ShapeDtypeStruct((1, MELS_PER_FRAME, MELS), jnp.float32),
    )
    # The stage has no use for the vocoder.
    parts = {**groups["frozen"], **groups["model"], **spoken["params"]}
    params = _placed(
        {name: parts[name] for name in config.model if name in parts}, NamedSharding(mesh, P())
    )

    def shape(dtype: Any, *shape: int) -> ShapeDtypeStruct:
        return ShapeDtypeStruct((rows, *shape), dtype, sharding=split)

    def run(function: Any, *arguments: Any, **static: int) -> tuple[Traced, Any]:
        jitted = jax.jit(functools.partial(function, machine), static_argnames=tuple(static))
        found = jitted.trace(params, *arguments, **static)
        return found, _placed(found.out_info, split)

    keys = _placed(jax.eval_shape(lambda: jax.random.split(jax.random.key(0), rows)), split)
    size, basis = config.model.size, config.model.motion_basis
    found, face = run(sampling.see, shape(np.uint8, size, size, 3))
    yield "see", found
    found, reading = run(sampling.read, face.identity, shape(np.int32, TOKENS), shape(np.int32))
    yield "read", found
    found, speech = run(sampling.say, reading, keys, mels=MELS_PER_FRAME * FRAMES)
    yield "say", found
    yield "move", run(sampling.move, face, speech, keys)[0]
    head, lip = (shape(jnp.float32, pipeline.CHUNK, n) for n in (basis.head, basis.lip))
    yield f"render {pipeline.CHUNK} frames", run(sampling.render, face, head, lip)[0]


def _placed(tree: Any, where: NamedSharding) -> Any:
    return jax.tree.map(lambda x: ShapeDtypeStruct(x.shape, x.dtype, sharding=where), tree)


def products(jaxpr: Any) -> int:
    """Operations of the matrix products and convolutions of a traced program, on all devices.

    A loop counts as often as it runs, of branches the dearest; a multiplication and an addition are
    two. Neither what is computed twice to save memory counts, nor what a TPU multiplies because it
    is slow at moving: this is the useful work.
    """
    total = 0
    for equation in jaxpr.eqns:
        name, parameters = equation.primitive.name, equation.params
        if name == "dot_general":
            left = equation.invars[0].aval.shape
            (contracted, _), _ = parameters["dimension_numbers"]
            inner = math.prod(left[axis] for axis in contracted)
            total += 2 * math.prod(equation.outvars[0].aval.shape) * inner
        elif name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            features = kernel[parameters["dimension_numbers"].rhs_spec[0]]
            # Zeros between the pixels of a gradient are multiplied by nobody.
            spread = math.prod(parameters["lhs_dilation"])
            out = math.prod(equation.outvars[0].aval.shape)
            total += 2 * out * math.prod(kernel) // (features * spread)
        elif name == "cond":
            branches = [products(branch.jaxpr) for branch in parameters["branches"]]
            # Where platforms have ways of their own, the last branch is what all others do.
            total += branches[-1] if parameters.get("branches_platforms") else max(branches)
        else:
            times = parameters.get("length", 1) if name == "scan" else 1
            total += times * sum(map(products, jaxprs_in_params(parameters)))
    return total
