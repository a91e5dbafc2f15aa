import numpy as np
import pytest

from facespeak_jax.evaluation.metrics import probes


def test_a_clip_is_not_asked_about_itself():
    # One person's clips look alike; each of the other's looks like nothing else.
    same, odd, odder = np.eye(3)
    codes = np.array([same, same, same, same, odd, odd, odder, odder]) + 0.01
    people, clips = ["a"] * 4 + ["b"] * 4, ["1", "1", "2", "2", "3", "3", "4", "4"]
    found = probes.same_person_nearest(codes, people, clips)
    assert found[:4].all()
    assert not found[4:].any() or not found[4:].all()  # its own clip would have been found


def test_who_has_one_clip_is_looked_for_in_it():
    codes = np.array([[1.0, 0], [1, 0.1], [0, 1], [0.1, 1]])
    found = probes.same_person_nearest(codes, ["a", "a", "b", "b"], ["1", "1", "2", "2"])
    assert found.all()
    crossed = probes.same_person_nearest(codes, ["a", "b", "b", "a"], ["1", "2", "2", "1"])
    assert not crossed.any()
    with pytest.raises(ValueError, match="another code"):
        probes.same_person_nearest(codes[:1], ["a"], ["1"])


def test_a_line_reads_what_is_there_of_people_it_never_saw():
    rng = np.random.default_rng(0)
    codes, people = rng.normal(size=(400, 8)), np.repeat([f"p{n}" for n in range(10)], 40).tolist()
    values = codes @ rng.normal(size=8) + 3.0
    assert probes.explained(values, probes.read_linearly(codes, values, people)) > 0.99
    noise = rng.normal(size=400)
    assert probes.explained(noise, probes.read_linearly(codes, noise, people)) < 0.05
    # What only tells people apart, and differently for each of them, helps with nobody else.
    own = np.repeat(rng.normal(size=10), 40)
    names = np.repeat(np.eye(10), 40, axis=0)
    assert probes.explained(own, probes.read_linearly(names, own, people)) < 0.1
    with pytest.raises(ValueError, match="other people"):
        probes.read_linearly(codes, values, ["p"] * 400)


def test_explained_variance():
    values = np.array([1.0, 2, 3, 4])
    assert probes.explained(values, values) == 1.0
    assert probes.explained(values, np.full(4, 2.5)) == 0.0
    assert probes.explained(values, values[::-1]) == pytest.approx(-3.0)
    assert np.isnan(probes.explained(np.ones(4), values))
