"""Every stage's loss and gradients are the same on any mesh, each in a process of its own."""

import json
import subprocess
import sys

import pytest

from facespeak_jax.stages import STAGES

pytestmark = pytest.mark.slow
ALONE = [1, 1, 1]


def apart(stage, meshes, precision):
    arguments = [stage, json.dumps([ALONE, *meshes]), precision]
    command = [sys.executable, "-m", "tests.multi_device.stage_program", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("stage", STAGES)
def test_a_mesh_of_three_axes_changes_nothing_but_the_order_of_sums(stage):
    (mesh,) = apart(stage, [[2, 2, 2]], "double").values()
    assert mesh["pieces"] == 4
    assert mesh["loss"] < 1e-9
    assert mesh["gradient"] < 1e-9, mesh["where"]


@pytest.mark.parametrize("stage", ["sync", "motion"])
def test_nor_do_other_meshes(stage):
    found = apart(stage, [[8, 1, 1], [2, 4, 1]], "double")
    assert {name: mesh["pieces"] for name, mesh in found.items()} == {"8x1x1": 1, "2x4x1": 4}
    for mesh in found.values():
        assert mesh["loss"] < 1e-9
        assert mesh["gradient"] < 1e-9, mesh["where"]
