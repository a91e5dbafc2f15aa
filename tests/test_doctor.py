"""The doctor beside faults that were put there."""

import builtins
import importlib.metadata
import os
import shutil
import sys
from pathlib import Path

import av
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from etils import epath

from facespeak_jax import cli, export, sampling, video
from facespeak_jax.doctor import files, machine, report
from facespeak_jax.training import checkpoint, state

FIXTURE = Path(__file__).parent / "fixture" / "heads64"


def put_weights(directory, *parts):
    params = {part: {"kernel": np.ones((2, 2), np.float32)} for part in parts}
    export.save(directory, params, {"model": {}, "symbols": ["<pad>"]})
    return str(directory)


@pytest.fixture
def weights(tmp_path):
    return put_weights(tmp_path / "weights", *sampling.FACE, *sampling.SPEECH, *sampling.MOTION)


@pytest.fixture
def workdir(tmp_path):
    """A workdir with the checkpoint of step 3."""
    kernel = jnp.arange(64 * 64, dtype=jnp.float32).reshape(64, 64)
    made = state.create({"model": {"encoder": {"kernel": kernel}}}, {"model": state.optax.sgd(0.1)})
    checkpoints = checkpoint.Checkpoints(tmp_path / "W", keep=1, keep_every=0)
    checkpoints.save(made, 3)
    checkpoints.close()
    return tmp_path / "W"


def one(findings, subject):
    (found,) = [finding for finding in findings if finding.subject == subject]
    return found


def test_all_is_well(weights, workdir, capsys):
    given = ["--weights", weights, "--workdir", str(workdir), "--data", str(FIXTURE)]
    assert cli.main(["doctor", *given]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines[:-1] if line.startswith("fail")] == []
    assert "ok    checkpoint: step 3 is complete" in lines
    assert any(f"{weights} can speak" in line for line in lines)
    assert sum(line.startswith("ok    data: ") for line in lines) == 3
    assert lines[-1].startswith(f"{len(lines) - 1} checks")
    assert list(workdir.glob(".doctor*")) == []


def test_a_fault_gives_exit_code_one_and_says_where(weights, tmp_path, capsys):
    given = ["--weights", weights, "--data", str(tmp_path / "nowhere")]
    assert cli.main(["doctor", *given]) == 1
    captured = capsys.readouterr()
    (fault,) = [line for line in captured.out.splitlines() if line.startswith("fail")]
    assert "nowhere should be, or hold" in fault
    assert "facespeak prepare" in fault
    assert captured.err.startswith("facespeak: 1 of ")


def test_the_shipped_weights_are_the_default(capsys):
    cli.main(["doctor"])
    assert "can reenact; checksums agree" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["changed", "emptied", "removed"])
def test_damaged_weights(weights, damage):
    file = Path(weights) / export.WEIGHTS
    content = file.read_bytes()
    file.write_bytes(b"" if damage == "emptied" else content[:-1] + b"\x55")
    if damage == "removed":
        file.unlink()
    (found,) = files.weights(weights)
    assert found.level == "fail"
    assert export.WEIGHTS in found.state
    assert "again" in found.advice


def test_weights_that_lack_parts_are_a_warning(tmp_path):
    reenact, speak = files.weights(put_weights(tmp_path, *sampling.FACE))
    assert reenact.level == "ok"
    assert speak.level == "warn"
    assert all(part in speak.state for part in sampling.SPEECH)


def test_no_checkpoint_yet(tmp_path):
    assert files.last_checkpoint(str(tmp_path)).level == "ok"
    assert "step 0" in files.last_checkpoint(str(tmp_path / "not there")).state


def large(directory):
    """The files that hold arrays: of the parameters and of their average."""
    return [p for p in directory.rglob("*") if p.is_file() and p.stat().st_size > 10_000]


@pytest.mark.parametrize("which", [0, -1])
@pytest.mark.parametrize("damage", ["truncated", "emptied", "removed"])
def test_a_damaged_checkpoint(workdir, damage, which):
    file = large(workdir / "checkpoints" / "3")[which]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 if damage == "truncated" else 0])
    if damage == "removed":
        file.unlink()
    found = files.last_checkpoint(str(workdir))
    assert found.level == "fail"
    assert str(workdir / "checkpoints" / "3") in found.state
    assert "delete it" in found.advice


def test_an_unfinished_save_is_named_and_left_alone(workdir):
    unfinished = workdir / "checkpoints" / "4.orbax-checkpoint-tmp-17"
    unfinished.mkdir()
    found = files.last_checkpoint(str(workdir))
    assert found.level == "warn"
    assert "step 3 is complete" in found.state
    assert unfinished.name in found.state
    assert unfinished.exists()


def test_directories_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    found = files.writable("workdir", str(tmp_path / "file" / "W"), "fail")
    assert found.level == "fail"

    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(type(epath.Path(tmp_path)), "write_text", refuse)
    found = files.writable("compile cache", str(tmp_path), "warn")
    assert found.level == "warn"
    assert "Permission denied" in found.state


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_directory(tmp_path):
    tmp_path.chmod(0o500)
    assert files.writable("workdir", str(tmp_path / "W"), "fail").level == "fail"


def test_a_directory_that_will_be_made_is_not_made_yet(tmp_path):
    assert files.writable("workdir", str(tmp_path / "a" / "b"), "fail").level == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_bucket_without_its_package(monkeypatch):
    def missing(path):
        raise ModuleNotFoundError("No module named 'gcsfs'", name="gcsfs")

    monkeypatch.setattr(epath, "Path", missing)
    found = files.writable("workdir", "gs://bucket/W", "fail")
    assert found.level == "fail"
    assert "pip install gcsfs" in found.advice


def test_data_with_a_damaged_split(tmp_path):
    shutil.copytree(FIXTURE, tmp_path / "data")
    (record,) = (tmp_path / "data").rglob("*-test.array_record*")
    record.write_bytes(record.read_bytes()[:200])
    found = list(files.clips(str(tmp_path / "data")))
    assert [finding.level for finding in found] == ["ok", "ok", "fail"]


def test_what_needs_the_train_extra_says_so(workdir, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.startswith(("facespeak_jax.training", "facespeak_jax.data")):
            raise ModuleNotFoundError("No module named 'orbax'", name="orbax")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for found in (files.last_checkpoint(str(workdir)), next(files.clips(str(FIXTURE)))):
        assert found.level == "warn"
        assert "without orbax" in found.state
        assert "facespeak_jax[train]" in found.advice


def fake_packages(monkeypatch, requirements, versions):
    def version(name):
        if name not in versions:
            raise importlib.metadata.PackageNotFoundError(name)
        return versions[name]

    monkeypatch.setattr(importlib.metadata, "metadata", lambda _: {"Requires-Python": ">=3.11"})
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: requirements)
    monkeypatch.setattr(importlib.metadata, "version", version)


REQUIREMENTS = ["jax>=0.6", "etils[epath]>=1.9", 'optax>=0.2.4; extra == "train"']


@pytest.mark.parametrize(
    ("versions", "subject", "level", "word"),
    [
        ({"jax": "0.10.2", "etils": "1.9", "optax": "0.2.4"}, "packages", "ok", "jax"),
        ({"jax": "0.5.3", "etils": "2.0", "optax": "1.0"}, "packages", "fail", "jax is 0.5.3"),
        ({"jax": "0.6.0"}, "packages", "fail", "no etils"),
        ({"jax": "0.6", "etils": "1.10"}, "packages of [train]", "warn", "without optax"),
        ({"jax": "1", "etils": "2", "optax": "0.2.3"}, "packages of [train]", "fail", "0.2.4"),
    ],
)
def test_versions_against_the_bounds(monkeypatch, versions, subject, level, word):
    fake_packages(monkeypatch, REQUIREMENTS, versions)
    found = one(machine.versions(), subject)
    assert found.level == level
    assert word in found.state


def test_an_old_python_and_a_package_that_is_not_installed(monkeypatch):
    fake_packages(monkeypatch, [], {})
    monkeypatch.setattr(sys, "version_info", (3, 10, 12))
    assert one(machine.versions(), "Python").level == "fail"

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "metadata", absent)
    assert [finding.level for finding in machine.versions()] == ["fail"]


@pytest.mark.parametrize("variable", ["JAX_PLATFORMS", "TPU_ACCELERATOR_TYPE"])
def test_a_tpu_is_expected_but_there_is_a_cpu(variable):
    found = one(machine.devices({variable: "tpu"}), "devices")
    assert found.level == "fail"
    assert variable in found.state
    assert "only a CPU" in found.state
    assert found.advice


def test_a_device_that_cannot_be_used(monkeypatch):
    def fail():
        raise RuntimeError("Unable to initialize backend 'tpu': in use\nby process 7")

    monkeypatch.setattr(jax, "devices", fail)
    (found,) = machine.devices({})
    assert found.level == "fail"
    assert found.state == "Unable to initialize backend 'tpu': in use"


def test_hosts_that_do_not_take_part():
    assert one(machine.devices({}), "hosts").level == "ok"
    found = one(machine.devices({"TPU_WORKER_HOSTNAMES": "a,b,c,d"}), "hosts")
    assert found.state == "1 of 4 hosts take part"
    assert "every worker" in found.advice


def test_the_compile_cache_is_where_pipeline_puts_it(tmp_path, monkeypatch):
    given = jax.config.values["jax_compilation_cache_dir"]
    monkeypatch.setenv("FACESPEAK_CACHE", str(tmp_path))
    jax.config.update("jax_compilation_cache_dir", None)
    try:
        assert str(tmp_path) in machine.compile_cache().state
    finally:
        jax.config.update("jax_compilation_cache_dir", given)


def test_little_room(monkeypatch):
    monkeypatch.setattr(machine, "LITTLE_DISK", 1e30)
    monkeypatch.setattr(machine, "LITTLE_MEMORY", 1e30)
    assert [machine.room(None).level, machine.memory().level] == ["warn", "warn"]


def test_no_encoder(monkeypatch):
    def fail(*_):
        raise av.codec.codec.UnknownCodecError("libx264")

    assert machine.encoder().level == "ok"
    monkeypatch.setattr(video, "save", fail)
    found = machine.encoder()
    assert found.level == "fail"
    assert "libx264" in found.state


def test_every_line_is_one_line(weights, tmp_path):
    lines: list[str] = []
    with pytest.raises(report.NotReady):
        report.report(workdir="/proc/W", data=[str(tmp_path)], weights=weights, show=lines.append)
    assert all("\n" not in line and line[:4].strip() in ("ok", "warn", "fail") for line in lines)
