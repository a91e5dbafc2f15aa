import ml_collections
import numpy as np
import pytest

from facespeak_jax.data import pipeline, records
from facespeak_jax.data.schema import BadExample


class Fake(records.Clips):
    """Clips that need no reading."""

    def __init__(self, name: str, count: int):
        ids = [f"{name}{i}" for i in range(count)]
        super().__init__([], {"clip_id": ids, "speaker": ids, "frames": [1] * count}, name)


def draw(clips, rng, position):
    """The position beside a random number."""
    return {"position": np.int64(position), "noise": rng.normal(size=3)}


def make(sources=None, example=draw, **options):
    sources = [Fake("a", 20)] if sources is None else sources
    options = {"seed": 3, "batch": 8} | options
    return pipeline.Batches(sources, [1.0] * len(sources), example, **options)


def test_a_batch_depends_on_seed_and_step_alone():
    one, other = make(), make()
    later = other[7]
    for step in (0, 7, 3):
        np.testing.assert_array_equal(one[step]["noise"], other[step]["noise"])
    np.testing.assert_array_equal(later["position"], one[7]["position"])
    assert not np.array_equal(make(seed=4)[0]["noise"], one[0]["noise"])


def test_every_epoch_visits_every_clip_in_another_order():
    batches = make(batch=20)
    epochs = [batches[step]["position"] for step in range(3)]
    for epoch in epochs:
        assert sorted(epoch) == list(range(20))
    assert not np.array_equal(epochs[0], epochs[1])
    assert not np.array_equal(epochs[1], epochs[2])


def test_hosts_split_the_same_global_batch():
    whole = make()[5]["noise"]
    parts = [make(rows=slice(start, start + 2))[5]["noise"] for start in range(0, 8, 2)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_sources_are_mixed_by_weight():
    sources = [Fake("a", 4), Fake("b", 1000)]
    batches = pipeline.Batches(sources, [0.25, 0.75], draw, seed=0, batch=400)
    ids = batches.clip_ids(0)
    assert sum(name.startswith("a") for name in ids) == 100


def test_a_bad_clip_is_replaced_reproducibly_and_counted():
    def picky(clips, rng, position):
        if position == 2:
            raise BadExample("two is bad")
        return draw(clips, rng, position)

    one, other = make(example=picky, batch=20), make(example=picky, batch=20)
    batch, replaced = one.made(1)
    assert 2 not in batch["position"]
    assert replaced == 1
    assert len(list(pipeline.prefetch(one, 1, 4, threads=1))) == 3
    assert one.replaced == 3  # each of three epochs has the bad one
    np.testing.assert_array_equal(other[1]["position"], batch["position"])
    good = make(batch=20)[1]
    assert (good["position"] != batch["position"]).sum() == 1
    assert one.clip_ids(1) == [f"a{i}" for i in batch["position"]]


def test_data_that_is_all_bad_stops_with_a_reason():
    def never(clips, rng, position):
        raise BadExample("no")

    with pytest.raises(pipeline.BadData, match="in a row"):
        make(example=never)[0]
    with pytest.raises(pipeline.BadData, match="empty"):
        make([Fake("none", 0)])


def test_unequal_shapes_are_named():
    def ragged(clips, rng, position):
        return {"wave": np.zeros(position)}

    with pytest.raises(pipeline.BadData, match="wave"):
        make(example=ragged)[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_prefetch_is_in_order_and_equal_to_indexing(workers):
    batches = make()
    ahead = pipeline.prefetch(batches, 4, 9, threads=2, workers=workers)
    for step, batch in zip(range(4, 9), ahead, strict=True):
        np.testing.assert_array_equal(batch["noise"], batches[step]["noise"])


def test_opens_the_directories_of_the_config(corpus):
    config = ml_collections.ConfigDict(
        {"seed": 0, "data": {"paths": (corpus, corpus), "weights": (1.0, 1.0), "batch": 4}}
    )
    batch = pipeline.batches(
        config, lambda clips, rng, i: {"audio": clips[i].audio}, split="train"
    )[0]
    assert batch["audio"].shape == (4, 48 * 640)
    config.data.weights = (1.0,)
    with pytest.raises(pipeline.BadData, match="weight"):
        pipeline.batches(config, draw, split="train")
