import json
import logging
import re
import shutil

import jax
import numpy as np
import pytest

from facespeak_jax.training import checkpoint, chips, loop, speed
from tests import interruption, toy


def train(config, workdir, **options):
    return loop.run(toy.ToyStage(config, **options), config, str(workdir))


@pytest.fixture(scope="module")
def finished(corpus, tmp_path_factory):
    """The state and workdir of an uninterrupted run."""
    workdir = tmp_path_factory.mktemp("finished")
    return train(toy.config(corpus), workdir), workdir


def assert_equal(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_run_leaves_config_checkpoints_and_summaries(finished):
    state, workdir = finished
    assert int(state.step) == 6
    assert json.loads((workdir / "config.json").read_text())["stage"] == "toy"
    assert sorted(p.name for p in (workdir / "checkpoints").iterdir() if p.is_dir()) == ["4", "6"]
    assert (workdir / "checkpoints" / "6" / "state").exists()
    assert list(workdir.glob("events.out.tfevents*"))


def test_stop_and_resume_equals_an_uninterrupted_run_bit_for_bit(
    finished, corpus, tmp_path, monkeypatch
):
    config = toy.config(corpus)
    with monkeypatch.context() as patch:
        interruption.after(3, patch)
        stopped = train(config, tmp_path)
    assert int(stopped.step) == 3
    resumed = train(config, tmp_path)
    assert_equal(resumed, finished[0])


def test_a_finished_run_is_only_read_again(finished, corpus):
    state, workdir = finished
    assert_equal(train(toy.config(corpus), workdir), state)


def test_parts_without_gradient_are_left_alone_by_decay_and_momentum(finished):
    np.testing.assert_array_equal(finished[0].params["model"]["unused"]["weight"], np.ones((3, 3)))


def test_the_loss_falls_and_is_written(corpus, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        train(toy.config(corpus, steps=40, log_every=20, eval_every=20), tmp_path)
    text = caplog.text
    found = [float(x) for x in re.findall(r"\[\d+\].* error=([0-9.]+)", text)]
    assert len(found) == 2
    assert found[1] < 0.8 * found[0]
    assert "eval/error" in text
    assert "critic_loss" in text
    assert "learning_rate/model" in text


def test_the_log_tells_how_fast_the_run_is_and_what_it_compiled(corpus, tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        train(toy.config(corpus), tmp_path)
    told = [line for line in caplog.text.splitlines() if "speed/clips_per_second" in line]
    assert len(told) == 3  # one a window
    names = ("steps_per_second", "input_wait", "goodput", "recompilations=0")
    assert all(f"speed/{name}" in line for line in told for name in names)
    assert "programs came from the compile cache" in caplog.text
    assert set(json.loads((tmp_path / speed.FILE).read_text())["useful"]) == {"4", "6"}


def test_operations_are_counted_where_the_peak_is_known(corpus, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(chips, "of", lambda kind: chips.CHIPS["v5e"])
    config = toy.config(corpus, accumulate=2, remat=True)
    with caplog.at_level(logging.INFO):
        train(config, tmp_path)
    (least, *_) = map(float, re.findall(r"speed/tflops_per_device=([-+.e0-9]+)", caplog.text))
    assert least > 0
    assert "speed/mfu" in caplog.text


def test_another_checkpoint_is_used_where_the_config_allows_it(finished, corpus, tmp_path):
    state, workdir = finished
    shutil.copytree(workdir, tmp_path / "W")
    for file in (tmp_path / "W" / "checkpoints" / "6").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with pytest.raises(checkpoint.BadCheckpoint, match="allow_older_checkpoint=True"):
        train(toy.config(corpus), tmp_path / "W")
    assert_equal(train(toy.config(corpus, allow_older_checkpoint=True), tmp_path / "W"), state)


def test_a_loss_that_is_not_finite_stops_with_a_report(corpus, tmp_path):
    config = toy.config(corpus, checkpoint_every=2)
    with pytest.raises(loop.NotFinite) as caught:
        train(config, tmp_path, broken=3)
    message = str(caught.value)
    assert "stage 'toy' was not finite at step 3: error, loss" in message
    assert "gradient of model/decoder/Dense_0" in message
    assert "newest checkpoint is step 2" in message
    ids = message.split("Clips: ")[1].split(". The batch")[0].split(", ")
    assert len(ids) == 8
    with np.load(tmp_path / "not_finite_step_3.npz") as dumped:
        assert dumped["image"].shape == (8, 192)
    # With the fault mended, the run goes on as if nothing had happened.
    assert int(train(config, tmp_path).step) == 6


def test_upstream_parts_come_from_the_average_of_another_workdir(finished, corpus, tmp_path):
    state, workdir = finished
    config = toy.config(corpus, steps=0)
    config.upstream = {"decoder": str(workdir), "linear": str(workdir)}
    begun = train(config, tmp_path)
    assert_equal(begun.params["model"]["decoder"], state.ema["decoder"])
    assert_equal(begun.ema["decoder"], state.ema["decoder"])
    assert_equal(begun.params["critic"]["linear"], state.params["critic"]["linear"])


def test_upstream_parts_are_placed_without_asking_other_processes(finished, monkeypatch):
    """`device_put` of host arrays compares them over all processes, one collective a leaf."""
    state, workdir = finished
    upstream = {"decoder": str(workdir), "linear": str(workdir)}
    expected = loop.put_upstream(state, upstream)
    monkeypatch.setattr(jax, "device_put", None)
    placed = loop.put_upstream(state, upstream)
    assert_equal(placed.params, expected.params)
    for old, new in zip(*map(jax.tree.leaves, (state.params, placed.params)), strict=True):
        assert old.sharding == new.sharding


def test_an_unknown_upstream_part_is_refused(corpus, tmp_path):
    config = toy.config(corpus)
    config.upstream = {"decodr": "somewhere"}
    with pytest.raises(checkpoint.BadCheckpoint, match=r"decodr.*decoder, linear, scale, unused"):
        train(config, tmp_path)
