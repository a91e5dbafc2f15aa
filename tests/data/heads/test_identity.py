import dataclasses
import pickle

import numpy as np

from facespeak_jax.data.heads.appearance import draw_scene
from facespeak_jax.data.heads.identity import SLIDERS, draw_identity, shape_head


def table(count):
    return np.array([list(draw_identity(seed).attributes().values()) for seed in range(count)])


def test_the_same_seed_is_the_same_person():
    assert draw_identity(7) == draw_identity(7)
    assert draw_identity(7) != draw_identity(8)
    assert draw_scene(7) == draw_scene(7)


def test_people_and_scenes_can_be_sent_to_workers():
    for drawn in (draw_identity(3), draw_scene(3)):
        assert pickle.loads(pickle.dumps(drawn)) == drawn  # noqa: S301


def test_attributes_lie_in_range_and_use_it():
    values = table(300)
    assert values.shape[1] >= 12
    assert np.abs(values).max() <= 1
    assert (values.std(0) > 0.2).all()


def test_attributes_have_one_order():
    assert list(draw_identity(0).attributes()) == list(draw_identity(1).attributes())


def test_the_scene_of_a_seed_tells_nothing_about_the_person_of_that_seed():
    count = 400
    people = table(count)
    scenes = [dataclasses.asdict(draw_scene(seed)) for seed in range(count)]
    columns = [
        np.array([np.mean(scene[name]) for scene in scenes])
        for name in ("shirt", "wall", "light_azimuth", "warmth", "key", "fill", "distance")
    ]
    for column in columns:
        for attribute in people.T:
            # 5 deviations of the correlation of independent draws.
            assert abs(np.corrcoef(column, attribute)[0, 1]) < 5 / np.sqrt(count)


def test_hair_greys_with_age():
    people = [draw_identity(seed) for seed in range(300)]
    grey = [np.ptp(p.hair_colour) < 12 and np.mean(p.hair_colour) > 80 for p in people]
    ages = np.array([p.age for p in people])
    assert np.mean(np.array(grey)[ages > 65]) > np.mean(np.array(grey)[ages < 40]) + 0.4


def test_build_and_coarseness_show_in_many_places_at_once():
    people = [draw_identity(seed) for seed in range(300)]
    for cause, places in {
        "weight": ("head_fat", "cheeks", "neck_double", "neck_width"),
        "coarseness": ("jaw_width", "nose_width", "nose_volume", "brow_ridge"),
    }.items():
        value = np.array([getattr(person, cause) for person in people])
        shown = np.mean([[person.sliders[name] for name in places] for person in people], axis=1)
        # The voice depends on both: what a face does not show, nobody can read off it.
        assert np.corrcoef(value, shown)[0, 1] > 0.75
    apart = np.corrcoef([p.weight for p in people], [p.coarseness for p in people])[0, 1]
    assert abs(apart) < 5 / np.sqrt(300)


def test_every_slider_moves_the_head(mesh):
    for pair in SLIDERS.values():
        for target in pair:
            for side in ("l-", "r-") if target.startswith("*") else ("",):
                moved = np.zeros_like(mesh.vertices)
                mesh.targets.add(side + target.removeprefix("*"), 1.0, moved)
                assert np.abs(moved).max() > 1e-3


def test_heads_differ_and_keep_human_size(mesh):
    heads = np.stack([shape_head(mesh, draw_identity(seed)) for seed in range(8)])
    assert np.isfinite(heads).all()
    for k in range(1, 8):
        assert np.abs(heads[k] - heads[0]).mean() > 0.01
    eyes = [
        np.linalg.norm(h[mesh.eyes[0]].mean(0) - h[mesh.eyes[1]].mean(0)) for h in heads
    ]  # decimetres
    assert 0.5 < min(eyes) <= max(eyes) < 0.8
