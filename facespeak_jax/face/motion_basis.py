"""The motion split: f = f_id + f_m, where f_m lives on a few orthonormal directions."""

from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from facespeak_jax.face.convolution import activation


class Motion(NamedTuple):
    """What `MotionBasis` finds in a style vector; motion + identity is that vector again."""

    alpha_head: Float[Array, "*b head"]
    alpha_lip: Float[Array, "*b lip"]
    motion: Float[Array, "*b s"]
    identity: Float[Array, "*b s"]


class MotionBasis(nn.Module):
    """Splits f into identity and motion along one orthonormal basis Q = [Q_head | Q_lip].

    Two multilayer heads read α_head and α_lip from f; f_m = Q_head·α_head + Q_lip·α_lip and f_id =
    f − f_m (the paper's absolute decomposition). One QR makes head and lip directions orthogonal to
    each other too, as in EDTalk (Tan et al. 2024).
    """

    width: int = 256  # S
    head: int = 16  # directions of pose, brows and blinks
    lip: int = 8  # directions of the mouth
    depth: int = 2  # hidden layers of each head

    def setup(self) -> None:
        self.directions = self.param(
            "directions", nn.initializers.normal(1.0), (self.width, self.head + self.lip)
        )
        self.head_layers = self._layers(self.head)
        self.lip_layers = self._layers(self.lip)

    def _layers(self, directions: int) -> list[nn.Dense]:
        # α of about the length of f_id from the start: a whisper of motion is learned slowly.
        loud = nn.initializers.variance_scaling(10.0, "fan_in", "truncated_normal")
        hidden = [nn.Dense(self.width) for _ in range(self.depth)]
        return [*hidden, nn.Dense(directions, kernel_init=loud)]

    def basis(self) -> Float[Array, "{self.width} d"]:
        """Q (S, head + lip): orthonormal columns, float32, each with a positive diagonal in R."""
        q, r = jnp.linalg.qr(self.directions.astype(jnp.float32))
        # QR leaves the sign of a column open; unfixed, a checkpoint could flip between backends.
        return q * jnp.where(jnp.diagonal(r) < 0, -1.0, 1.0)[None, :]

    def head_motion(self, alpha: Float[Array, "*b {self.head}"]) -> Float[Array, "*b {self.width}"]:
        """f_head = Q_head·α_head."""
        return _project(self.basis()[:, : self.head], alpha)

    def lip_motion(self, alpha: Float[Array, "*b {self.lip}"]) -> Float[Array, "*b {self.width}"]:
        """f_lip = Q_lip·α_lip."""
        return _project(self.basis()[:, self.head :], alpha)

    def __call__(self, f: Float[Array, "*b {self.width}"]) -> Motion:
        f = f.astype(jnp.float32)
        alpha_head, alpha_lip = _stack(self.head_layers, f), _stack(self.lip_layers, f)
        motion = _project(self.basis(), jnp.concatenate([alpha_head, alpha_lip], axis=-1))
        return Motion(alpha_head, alpha_lip, motion, f - motion)


def _stack(layers: Sequence[nn.Dense], x: Float[Array, "*b s"]) -> Float[Array, "*b d"]:
    for layer in layers[:-1]:
        x = activation(layer(x))
    return layers[-1](x)


def _project(basis: Float[Array, "s d"], alpha: Float[Array, "*b d"]) -> Float[Array, "*b s"]:
    return jnp.einsum("sd,...d->...s", basis, alpha, precision=jax.lax.Precision.HIGHEST)
