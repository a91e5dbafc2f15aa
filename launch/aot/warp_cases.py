"""One way to warp, compiled: `python -m launch.aot.warp_cases '<the case as JSON>'` prints JSON."""

import dataclasses
import functools
import json
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float

from facespeak_jax.face.warp import warp
from launch.aot import compiling, programs
from launch.aot.pairs import Pair

TOPOLOGY, FRAMES = "v5e:2x2", 8


@dataclasses.dataclass(frozen=True)
class Case:
    """A scale, a way to warp it, and whether gradients are asked for, too."""

    size: int
    channels: int
    method: str
    backward: bool

    @property
    def name(self) -> str:
        """Tells it from every other."""
        direction = "forward and backward" if self.backward else "forward"
        return f"{self.size} × {self.channels} {self.method} {direction}"


def two_passes(
    features: Float[Array, "b h w c"], flow: Float[Array, "b t h w 2"]
) -> Float[Array, "b t h w c"]:
    """Bilinear samples by the weights of columns, for every row of the source, and then of rows.

    Were x the same in every row and y in every column, each pass would be a small product; as flows
    are, the first leaves a column of the source for every pixel of the output.
    """
    h, w = features.shape[1:3]

    def weights(position: Array, size: int) -> Array:
        position = jnp.clip(position, 0, size - 1)[..., None]
        tent = 1 - jnp.abs(position - jnp.arange(size, dtype=jnp.float32)[None, None, None, None])
        return jnp.maximum(0, tent).astype(features.dtype)

    x = jnp.arange(w)[None, None, None, :] + flow[..., 0] * w
    y = jnp.arange(h)[None, None, :, None] + flow[..., 1] * h
    exact = jax.lax.Precision.HIGHEST
    columns = jnp.einsum("btijx,byxc->btijyc", weights(x, w), features, precision=exact)
    return jnp.einsum("btijy,btijyc->btijc", weights(y, h), columns, precision=exact)


def program(case: Case) -> tuple[Any, tuple[jax.ShapeDtypeStruct, ...]]:
    """The function of a case and the shapes it is compiled for.

    Of maps the gradients of features and flow are asked for, of a photograph that of the flow.
    """
    picture = case.channels == 3
    dtype = jnp.float32 if picture else jnp.bfloat16
    features = jax.ShapeDtypeStruct((FRAMES, case.size, case.size, case.channels), dtype)
    flow = jax.ShapeDtypeStruct((FRAMES, 1, case.size, case.size, 2), jnp.float32)
    slope = jax.ShapeDtypeStruct((FRAMES, 1, case.size, case.size, case.channels), dtype)
    way: Any = {"two passes": two_passes}.get(
        case.method, functools.partial(warp, method=case.method)
    )
    if not case.backward:
        return way, (features, flow)

    def both(features: Array, flow: Array, slope: Array) -> Any:
        if picture:
            out, back = jax.vjp(functools.partial(way, features), flow)
        else:
            out, back = jax.vjp(way, features, flow)
        return out, back(slope)

    return both, (features, flow, slope)


def compiled(case: Case) -> dict[str, Any]:
    """What the compiler makes of a case on one chip."""
    mesh = Mesh(programs.devices(Pair("", TOPOLOGY, FRAMES, "generator")), ("data",))
    function, shapes = program(case)
    where = NamedSharding(mesh, P())
    placed = [jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where) for x in shapes]
    with jax.set_mesh(mesh):
        lowered, begun = jax.jit(function).lower(*placed), time.monotonic()
    made = lowered.compile()
    found = compiling.described(made)
    kept = ("temporaries", "code", "flops", "moved", "hbm", "cycles")
    return {name: found[name] for name in kept} | {"compile_seconds": time.monotonic() - begun}


if __name__ == "__main__":
    json.dump(compiled(Case(**json.loads(sys.argv[1]))), sys.stdout)
