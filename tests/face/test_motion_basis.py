"""The split adds up, and its basis is orthonormal with one sign."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax.face.motion_basis import MotionBasis


@pytest.fixture(scope="module")
def split():
    module = MotionBasis(width=32, head=6, lip=3, depth=1)
    f = jax.random.normal(jax.random.key(0), (5, 32))
    return module, jax.jit(module.init)(jax.random.key(1), f), f


def test_basis_is_orthonormal(split):
    module, params, _ = split
    q = module.apply(params, method="basis")
    np.testing.assert_allclose(q.T @ q, np.eye(9), atol=1e-6)


def test_basis_sign_is_fixed_and_spans_the_directions(split):
    module, params, _ = split
    q = np.asarray(module.apply(params, method="basis"), np.float64)
    directions = np.asarray(params["params"]["directions"], np.float64)
    r = q.T @ directions
    assert (np.diagonal(r) > 0).all()
    np.testing.assert_allclose(np.tril(r, -1), 0, atol=1e-5)
    np.testing.assert_allclose(q @ r, directions, atol=1e-5)


def test_identity_and_motion_add_up(split):
    module, params, f = split
    motion = module.apply(params, f)
    np.testing.assert_allclose(motion.identity + motion.motion, f, atol=1e-6)
    head = module.apply(params, motion.alpha_head, method="head_motion")
    lip = module.apply(params, motion.alpha_lip, method="lip_motion")
    np.testing.assert_allclose(head + lip, motion.motion, atol=1e-6)


def test_head_and_lip_motions_are_orthogonal(split):
    module, params, _ = split
    head = module.apply(params, normal(7, 6), method="head_motion")
    lip = module.apply(params, normal(7, 3), method="lip_motion")
    np.testing.assert_allclose(head @ lip.T, np.zeros((7, 7)), atol=1e-5)


def test_motion_keeps_the_length_of_alpha(split):
    module, params, _ = split
    alpha = normal(2, 4, 6)
    head = module.apply(params, alpha, method="head_motion")
    assert head.shape == (2, 4, 32)
    lengths = jnp.linalg.norm(head, axis=-1)
    np.testing.assert_allclose(lengths, jnp.linalg.norm(alpha, axis=-1), rtol=1e-5)


def test_gradient_through_the_basis_is_finite(split):
    module, params, f = split
    gradient = jax.jit(jax.grad(lambda p: jnp.abs(module.apply(p, f).identity).sum()))(params)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient))
    assert float(jnp.abs(gradient["params"]["directions"]).max()) > 0


def normal(*shape):
    return jax.random.normal(jax.random.key(9), shape)
