"""Sampling by the kernels where there is a TPU, by something else where there is none."""

import functools
from collections.abc import Callable

import jax
from jaxtyping import Array, Float

from facespeak_jax import mesh
from facespeak_jax.face.kernels import maps, pictures

Sample = Callable[[Array, Array, Array], Array]
Positions = Float[Array, "b t h w"]


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def sample(
    elsewhere: Sample, features: Float[Array, "b h w c"], x: Positions, y: Positions
) -> Float[Array, "b t h w c"]:
    """Bilinear samples of features at pixel positions within the frame.

    `elsewhere` does the same by other means; on a TPU it is asked only for what no kernel fits.
    """
    on_tpu = forward if _kernels(features.shape) else elsewhere
    return jax.lax.platform_dependent(features, x, y, tpu=on_tpu, default=elsewhere)


def _ahead(elsewhere: Sample, *given: Array) -> tuple[Array, tuple[Array, ...]]:
    return sample(elsewhere, *given), given


def _back(
    elsewhere: Sample, given: tuple[Array, ...], slope: Float[Array, "b t h w c"]
) -> tuple[Array, ...]:
    def transposed(*arguments: Array) -> tuple[Array, ...]:
        return jax.vjp(elsewhere, *arguments[:3])[1](arguments[3])

    on_tpu = functools.partial(backward, elsewhere) if _kernels(given[0].shape) else transposed
    return jax.lax.platform_dependent(*given, slope, tpu=on_tpu, default=transposed)


sample.defvjp(_ahead, _back)


def _kernels(shape: tuple[int, ...]) -> bool:
    return pictures.fits(shape) or maps.fits(shape)


def forward(
    features: Float[Array, "b h w c"], x: Positions, y: Positions, *, interpret: bool = False
) -> Float[Array, "b t h w c"]:
    """The samples; `interpret` runs the kernels where there is no TPU."""
    read = pictures.read if pictures.fits(features.shape) else maps.read
    return mesh.by_frames(functools.partial(read, interpret=interpret), (features,), (x, y))


def backward(
    elsewhere: Sample,
    features: Float[Array, "b h w c"],
    x: Positions,
    y: Positions,
    slope: Float[Array, "b t h w c"],
    *,
    interpret: bool = False,
) -> tuple[Float[Array, "b h w c"], Positions, Positions]:
    """The gradients of features and positions, given that of the samples.

    That of a picture itself is left to `elsewhere`: it is a photograph, and nobody asks for it.
    """
    kind = pictures if pictures.fits(features.shape) else maps
    read = functools.partial(kind.slope_of_positions, interpret=interpret)
    of_x, of_y = mesh.by_frames(read, (features,), (x, y, slope))
    if kind is pictures:
        (of_features,) = jax.vjp(lambda given: elsewhere(given, x, y), features)[1](slope)
    else:
        add = functools.partial(maps.slope_of_features, interpret=interpret)
        of_features = mesh.by_frames(add, (), (x, y, slope), summed=True)
    return of_features, of_x, of_y
