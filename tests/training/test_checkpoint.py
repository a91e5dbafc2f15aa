import contextlib
import resource
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from facespeak_jax import export
from facespeak_jax.training import checkpoint, state
from facespeak_jax.training.state import TrainState


def make(width: int = 4, step: int = 3) -> TrainState:
    kernel = jnp.arange(float(2 * width)).reshape(2, width)
    params = {
        "model": {"decoder": {"kernel": kernel}, "encoder": {"bias": jnp.ones(3)}},
        "critic": {"judge": {"kernel": -kernel}},
        "frozen": {"base": {"bias": jnp.full(2, 7.0)}},
    }
    optimizers = {"model": state.optax.adam(1e-3), "critic": state.optax.adam(1e-3)}
    made = state.create(params, optimizers)
    return made.replace(step=jnp.int32(step), ema=jax.tree.map(lambda x: x + 0.5, made.ema))


def abstract(made: TrainState):
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), made)


def save(workdir, *steps: int, keep: int = 2, keep_every: int = 0) -> None:
    checkpoints = checkpoint.Checkpoints(workdir, keep=keep, keep_every=keep_every)
    for step in steps:
        checkpoints.save(make(step=step), step)
    checkpoints.close()


def reopened(workdir) -> checkpoint.Checkpoints:
    return checkpoint.Checkpoints(workdir, keep=2, keep_every=0)


def test_round_trip(tmp_path):
    save(tmp_path, 3)
    checkpoints = reopened(tmp_path)
    assert checkpoints.latest == 3
    back = checkpoints.restore(abstract(make()))
    jax.tree.map(np.testing.assert_array_equal, back, make())
    checkpoints.close()


def test_keeps_the_latest_and_every_so_often(tmp_path):
    save(tmp_path, 1, 2, 3, 4, 5, 6, 7, keep=2, keep_every=4)
    kept = {int(path.name) for path in (tmp_path / "checkpoints").iterdir() if path.is_dir()}
    assert kept == {4, 6, 7}


def test_saving_the_same_step_twice_is_harmless(tmp_path):
    save(tmp_path, 3, 3)
    assert (tmp_path / "checkpoints" / "3" / "state").exists()


def test_another_model_is_refused_with_the_differences(tmp_path):
    save(tmp_path, 3)
    checkpoints = reopened(tmp_path)
    with pytest.raises(checkpoint.BadCheckpoint) as caught:
        checkpoints.restore(abstract(make(width=5)))
    assert "params/model/decoder/kernel: (2, 4) in the checkpoint, (2, 5) here" in str(caught.value)
    checkpoints.close()


def test_a_damaged_checkpoint_says_which_directory_to_delete(tmp_path):
    save(tmp_path, 3)
    for file in (tmp_path / "checkpoints" / "3" / "state").rglob("*"):
        if file.is_file() and "metadata" not in file.name.lower():
            file.write_bytes(b"")
    checkpoints = reopened(tmp_path)
    with pytest.raises(checkpoint.BadCheckpoint, match=r"checkpoints/3.*delete it"):
        checkpoints.restore(abstract(make()))
    checkpoints.close()


def files(directory):
    return sorted(path for path in directory.rglob("*") if path.is_file())


def damage(directory, how: str) -> None:
    """Of the files of a checkpoint: what a crash, a full disk or a clumsy copy leaves behind."""
    large = max(files(directory), key=lambda path: path.stat().st_size)
    if how == "truncated":
        large.write_bytes(large.read_bytes()[: large.stat().st_size // 2])
    elif how == "emptied":
        for file in files(directory):
            file.write_bytes(b"")
    elif how == "an array lost":
        large.unlink()
    elif how == "half-written":
        for file in files(directory)[::2]:
            file.unlink()
    elif how == "no files":
        for file in files(directory):
            file.unlink()
    else:
        shutil.rmtree(directory / "state")


DAMAGES = ["truncated", "emptied", "an array lost", "half-written", "no files", "no state"]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_an_older_one_used_only_if_allowed(tmp_path, how, caplog):
    save(tmp_path, 3, 5)
    newest = tmp_path / "checkpoints" / "5"
    damage(newest, how)
    left = len(files(newest))
    checkpoints = reopened(tmp_path)
    with pytest.raises(
        checkpoint.BadCheckpoint,
        match=r"checkpoints/5 cannot be read.*allow_older_checkpoint=True.*from step 3",
    ):
        checkpoints.restore(abstract(make()))
    assert len(files(newest)) == left
    back = checkpoints.restore(abstract(make()), older=True)
    jax.tree.map(np.testing.assert_array_equal, back, make(step=3))
    assert checkpoints.latest == 3
    assert len(files(tmp_path / "damaged" / "5")) == left  # nothing is deleted
    assert "checkpoints/5 cannot be read" in caplog.text
    # Step 5 can be saved again.
    checkpoints.save(make(step=5), 5)
    checkpoints.close()
    again = reopened(tmp_path)
    assert int(again.restore(abstract(make()), older=True).step) == 5
    again.close()


def test_where_all_are_damaged_none_is_used(tmp_path):
    save(tmp_path, 3, 5)
    for step in ("3", "5"):
        damage(tmp_path / "checkpoints" / step, "truncated")
    checkpoints = reopened(tmp_path)
    with pytest.raises(checkpoint.BadCheckpoint, match="no complete checkpoint"):
        checkpoints.restore(abstract(make()), older=True)
    assert {path.name for path in (tmp_path / "damaged").iterdir()} == {"3", "5"}
    checkpoints.close()


def test_what_we_did_not_write_stays(tmp_path):
    save(tmp_path, 3)
    theirs = [tmp_path / "checkpoints" / name for name in ("4.orbax-checkpoint-tmp", "notes")]
    for place in theirs:
        place.mkdir()
        (place / "file").write_text("mine")
    save(tmp_path, 5, 7, 9)
    assert [(place / "file").read_text() for place in theirs] == ["mine", "mine"]


@pytest.mark.parametrize("room", [0, 300])
def test_a_full_disk_is_told_and_the_last_checkpoint_stands(tmp_path, room):
    save(tmp_path, 3)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    checkpoints = reopened(tmp_path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with (
            pytest.raises(checkpoint.CannotSave, match=r"complete one is step 3\. Make room"),
            contextlib.closing(checkpoints),  # what went wrong in the background is told here
        ):
            checkpoints.save(make(step=5), 5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert checkpoint.read_whole(tmp_path) == 3
    save(tmp_path, 5)
    assert checkpoint.read_whole(tmp_path) == 5


def test_parts_are_read_alone(tmp_path):
    save(tmp_path, 2, 3)
    made = make()
    parts = checkpoint.load_parts(tmp_path, ["decoder", "judge", "base"])
    assert set(parts) == {"decoder", "judge", "base"}
    np.testing.assert_array_equal(parts["decoder"]["kernel"], made.ema["decoder"]["kernel"])
    np.testing.assert_array_equal(
        parts["judge"]["kernel"], made.params["critic"]["judge"]["kernel"]
    )
    np.testing.assert_array_equal(parts["base"]["bias"], [7, 7])
    raw = checkpoint.load_parts(tmp_path, ["decoder"], use_ema=False)
    np.testing.assert_array_equal(
        raw["decoder"]["kernel"], made.params["model"]["decoder"]["kernel"]
    )
    assert checkpoint.model_parts(tmp_path) == ["decoder", "encoder"]


def test_what_cannot_be_loaded_is_named(tmp_path):
    with pytest.raises(checkpoint.BadCheckpoint, match="neither a workdir"):
        checkpoint.load_parts(tmp_path, ["decoder"])
    save(tmp_path, 3)
    with pytest.raises(
        checkpoint.BadCheckpoint, match="no vocoder; it has base, decoder, encoder, judge"
    ):
        checkpoint.load_parts(tmp_path, ["vocoder"])


def test_parts_are_read_from_a_weights_directory_too(tmp_path):
    kernel = np.arange(4, dtype=np.float32)
    export.save(tmp_path, {"decoder": {"kernel": kernel}}, {"model": {}, "symbols": []})
    parts = checkpoint.load_parts(tmp_path, ["decoder"])
    np.testing.assert_array_equal(parts["decoder"]["kernel"], kernel)
    # What was exported into a workdir does not hide its checkpoints.
    save(tmp_path, 3)
    parts = checkpoint.load_parts(tmp_path, ["decoder"])
    np.testing.assert_array_equal(parts["decoder"]["kernel"], make().ema["decoder"]["kernel"])


def test_relative_folders_are_meant_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save("w", 2, 3)
    parts = checkpoint.load_parts("w", ["decoder"])
    np.testing.assert_array_equal(parts["decoder"]["kernel"], make().ema["decoder"]["kernel"])
    assert checkpoint.model_parts("w") == ["decoder", "encoder"]
    assert checkpoint.read_whole("w") == 3
