"""The encoder's shapes and what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax.face.encoder import VisualEncoder


@pytest.mark.parametrize(("size", "widths"), [(32, (8, 6)), (64, (8, 6, 4)), (128, (8, 8, 6, 4))])
def test_pyramid_is_coarse_to_fine(size, widths):
    module = VisualEncoder(style=10, widths=widths, bottleneck=8)
    image = jax.random.normal(jax.random.key(0), (2, size, size, 3))
    f, pyramid = jax.jit(module.init_with_output)(jax.random.key(1), image)[0]
    assert f.shape == (2, 10)
    shapes = [(level.shape[1], level.shape[2], level.shape[3]) for level in pyramid]
    assert shapes == [(8 * 2**k, 8 * 2**k, width) for k, width in enumerate(widths)]


def test_images_do_not_touch_each_other():
    module = VisualEncoder(style=10, widths=(8, 6), bottleneck=8)
    image = jax.random.normal(jax.random.key(0), (3, 32, 32, 3))
    params = jax.jit(module.init)(jax.random.key(1), image)
    apply = jax.jit(module.apply)
    (f, _), (other, _) = apply(params, image), apply(params, image.at[1].add(1.0))
    np.testing.assert_allclose(other[0], f[0], atol=1e-6)
    assert np.abs(other[1] - f[1]).max() > 1e-3


@pytest.mark.parametrize("shape", [(1, 32, 16, 3), (1, 40, 40, 3), (1, 8, 8, 3)])
def test_other_sizes_raise(shape):
    with pytest.raises(ValueError, match="square"):
        VisualEncoder(style=10, widths=(8, 6)).init(jax.random.key(0), jnp.zeros(shape))
