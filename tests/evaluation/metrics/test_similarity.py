import numpy as np
import pytest
from scipy.spatial.distance import cosine

from facespeak_jax.evaluation.metrics import similarity


def test_cosine_equals_scipy():
    one, other = np.random.default_rng(0).normal(size=(2, 16))
    assert similarity.cosine(one, other) == pytest.approx(1 - cosine(one, other))
    assert np.isnan(similarity.cosine(one, np.zeros(16)))


def test_tables():
    references = {
        "anna": np.array([1.0, 0, 0]),
        "bea": np.array([0, 1.0, 0]),
        "carl": np.array([0, 0, 1.0]),
    }
    groups = {"anna": "woman", "bea": "woman", "carl": "man"}
    found = similarity.against(np.array([3.0, 4.0, 0]), "anna", references, groups)
    assert found == pytest.approx((0.6, 0.4, 0.8))
    alone = similarity.against(np.array([3.0, 4.0, 0]), "carl", references, groups)
    assert np.isnan(alone.group)
    assert np.isnan(similarity.against(np.ones(3), "dora", references, groups).same)


def test_centre_and_pairs():
    rows = np.array([[2.0, 0], [0, 5.0]])
    np.testing.assert_allclose(similarity.centre(rows), np.sqrt([0.5, 0.5]))
    assert similarity.pairwise(rows) == pytest.approx(0.0)
    assert similarity.pairwise(np.array([[1.0, 0], [1, 1]])) == pytest.approx(np.sqrt(0.5))
