"""Every stage's loss and gradients are the same on any mesh, each in a process of its own."""

import json
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from facespeak_jax.stages import STAGES
from tests.multi_device.stage_program import apart

pytestmark = pytest.mark.slow
MESHES = {"8x1x1": 1, "2x4x1": 4, "2x2x2": 4}  # pieces of the most split array
LIMIT = 1800  # seconds that processes may take; on two idle cores they need a tenth of it
DRAWS = 4  # of parameters, in single precision
# Five frames of every clip have more kinks than one: all of four draws can lie close to some.
MORE_DRAWS = {"joint": 8}


def run(jobs, place):
    """Runs a process for each job, all at once, until all are done or one fails.

    They write to files, so that none ever waits for a reader, and none outlives the call.
    """
    logs = [place / f"{index}.log" for index in range(len(jobs))]
    begun = []
    try:
        for job, log in zip(jobs, logs, strict=True):
            with log.open("w") as said:
                begun.append(begin(job, said))
        until = time.monotonic() + LIMIT
        while None in (codes := [process.poll() for process in begun]):
            if any(codes) or time.monotonic() > until:
                break
            time.sleep(0.1)
    finally:
        for process in begun:
            end(process)
    told = "\n".join(f"process {index}: {log.read_text()}" for index, log in enumerate(logs))
    assert codes == [0] * len(jobs), f"ended with {codes} (None: did not)\n{told}"


def begin(job, said):
    program = ["-X", "faulthandler", "-m", "tests.multi_device.stage_program", json.dumps(job)]
    return subprocess.Popen([sys.executable, *program], stdout=said, stderr=subprocess.STDOUT)


def end(process):
    """Ends a process if it still runs, which then says where it was."""
    process.send_signal(signal.SIGABRT)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def arrays(path):
    with np.load(path) as found:
        return dict(found)


def on_meshes(stage, place, *, double):
    meshes = [[int(n) for n in mesh.split("x")] for mesh in MESHES]
    out = place / "apart.json"
    draws = 1 if double else MORE_DRAWS.get(stage, DRAWS)
    job = {"name": stage, "meshes": meshes, "double": double, "draws": draws}
    run([job | {"out": str(out)}], place)
    return json.loads(out.read_text())


def test_what_is_left_of_a_slope_of_zero_is_no_difference():
    slope = np.float32([3, 4])
    dust = np.float32([1e-7, -2e-7])  # of a norm of 5: less than half a unit of its last place
    off = apart({"kernel": slope, "bias": dust}, {"kernel": slope, "bias": -dust})
    assert off == {"kernel": 0, "bias": 0}
    wrong = apart({"kernel": slope, "bias": dust}, {"kernel": slope * 1.01, "bias": 100 * dust})
    assert wrong["kernel"] == pytest.approx(0.01, rel=1e-4)
    assert wrong["bias"] > 1


@pytest.mark.parametrize("stage", STAGES)
def test_a_mesh_changes_nothing_but_the_order_of_sums(stage, tmp_path):
    found = on_meshes(stage, tmp_path, double=True)
    assert {name: mesh["pieces"] for name, mesh in found.items()} == MESHES
    for mesh in found.values():
        assert mesh["loss"] < 1e-9
        assert max(mesh["gradient"].values()) < 1e-9, mesh["gradient"]


@pytest.mark.parametrize("stage", STAGES)
def test_nor_by_more_than_single_precision_does(stage, tmp_path):
    """1e-5 of a leaf's norm, or more only where half a unit of a parameter's last place does."""
    found = on_meshes(stage, tmp_path, double=False)
    rounding = found.pop("rounding")
    for mesh in found.values():
        assert mesh["loss"] < 1e-5
        for leaf, off in mesh["gradient"].items():
            assert off < max(1e-5, 2 * rounding[leaf]), leaf


@pytest.mark.parametrize("stage", ["face", "motion"])
def test_two_processes_of_four_devices_equal_one_of_eight(stage, tmp_path):
    def found(count):
        with socket.create_server(("", 0)) as probe:
            address = f"127.0.0.1:{probe.getsockname()[1]}"
        job = {"name": stage, "mesh": [2, 2, 2], "address": address, "count": count}
        run([job | {"index": index, "place": str(tmp_path)} for index in range(count)], tmp_path)
        return [arrays(tmp_path / f"{count}.{index}.npz") for index in range(count)]

    (wanted,) = found(1)
    parts = found(2)
    for leaf, whole in wanted.items():
        held = [~np.isnan(part[leaf]) for part in parts]
        assert np.any(held, axis=0).all(), leaf
        for part, here in zip(parts, held, strict=True):
            off = np.linalg.norm((part[leaf] - whole)[here])
            assert off <= 1e-9 * np.linalg.norm(whole) + 1e-15, leaf
