import itertools

import numpy as np
import pytest
from scipy.linalg import sqrtm

from facespeak_jax.evaluation.metrics import distributions


def of_clips(features, clips):
    """Pictures of so many clips of one length."""
    return distributions.Pictures(features, np.repeat(np.arange(clips), len(features) // clips))


def frechet(found, real):
    return distributions.frechet(of_clips(found, 2), of_clips(real, 2)).value


def test_frechet_equals_scipy():
    rng = np.random.default_rng(0)
    one = rng.normal(size=(80, 6)) @ rng.normal(size=(6, 6))
    other = rng.normal(size=(90, 6)) + 0.5
    s1, s2 = np.cov(one.T), np.cov(other.T)
    shift = one.mean(0) - other.mean(0)
    expected = shift @ shift + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)
    assert frechet(one, other) == pytest.approx(expected, rel=1e-6)
    assert frechet(one, one) == pytest.approx(0, abs=1e-9)
    assert frechet(one + 2, one) == pytest.approx(4 * 6)


def test_fewer_pictures_than_features():
    one = np.random.default_rng(1).normal(size=(10, 40))
    assert frechet(one + 1, one) == pytest.approx(40)


def kernel_by_hand(found, real):
    def k(x, y):
        return (x @ y / len(x) + 1) ** 3

    def within(rows):
        return np.mean([k(x, y) for x, y in itertools.permutations(rows, 2)])

    cross = np.mean([k(x, y) for x in found for y in real])
    return within(found) + within(real) - 2 * cross


def test_kernel_equals_its_definition():
    rng = np.random.default_rng(2)
    found, real = rng.normal(size=(6, 4)), rng.normal(size=(8, 4)) + 0.3
    distance = distributions.kernel(of_clips(found, 2), of_clips(real, 2))
    assert distance.value == pytest.approx(kernel_by_hand(found, real))
    assert distance.n == 2


@pytest.mark.parametrize("distance", [distributions.kernel, distributions.frechet])
def test_resampled_clips_enclose_the_mean_and_far_sets_are_farther(distance):
    rng = np.random.default_rng(3)
    real, near, far = (of_clips(rng.normal(size=(80, 5)) + shift, 20) for shift in (0, 0.1, 1.0))
    close, apart = (distance(side, real).interval() for side in (near, far))
    assert close.low < close.mean < close.high < apart.low < apart.mean < apart.high


def weighted_frechet(sides, weights):
    """FID of two sets of pictures that count as much as their clips do, by scipy."""
    moments = []
    for side in sides:
        share = weights[side.clip] / weights[side.clip].sum()
        mean = share @ side.features
        centred = side.features - mean
        moments.append((mean, (share[:, None] * centred).T @ centred))
    (m1, s1), (m2, s2) = moments
    return np.square(m1 - m2).sum() + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)


def test_the_influence_of_clips_on_frechet_is_its_derivative():
    rng = np.random.default_rng(4)
    one = distributions.Pictures(
        rng.normal(size=(31, 3)) @ rng.normal(size=(3, 3)), np.r_[np.repeat(np.arange(6), 5), 0]
    )
    other = of_clips(rng.normal(size=(36, 3)) + 0.3, 6)
    step = 1e-5 * np.eye(6)
    slopes = [
        (weighted_frechet((one, other), 1 + up) - weighted_frechet((one, other), 1 - up)) / 2e-5
        for up in step
    ]
    # Of many copies, since weights leave no n - 1 to divide by.
    many = [
        distributions.Pictures(*(np.concatenate([x] * 200) for x in side)) for side in (one, other)
    ]
    distance, influence = distributions._expanded(*many, 6)
    np.testing.assert_allclose(influence, slopes, rtol=1e-3)
    assert distance == pytest.approx(weighted_frechet((one, other), np.ones(6)), rel=1e-3)


def test_the_interval_of_frechet_is_as_wide_as_new_clips_scatter():
    # Clips that differ from each other more than their pictures do, as clips of people do.
    rng = np.random.default_rng(5)

    def drawn():
        clips = rng.normal(size=(40, 1, 4)) + 0.3 * rng.normal(size=(40, 5, 4))
        return of_clips(clips.reshape(200, 4), 40)

    pairs = [
        (distributions.Pictures(x.features + 0.7, x.clip), y)
        for x, y in ((drawn(), drawn()) for _ in range(200))
    ]
    scatter = np.std([frechet(x.features, y.features) for x, y in pairs])
    told = np.mean([distributions.frechet(x, y).resamples.std() for x, y in pairs[:40]])
    assert told == pytest.approx(scatter, rel=0.15)
