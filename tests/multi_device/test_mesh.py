"""The same training on one device, on eight, and on two by four, each in a process of its own."""

import json
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import json, sys
import jax
jax.config.update("jax_platforms", "cpu")
jax.config.update("jax_num_cpu_devices", int(sys.argv[3]))
from tests.multi_device import program
print(json.dumps(program.train(sys.argv[1], json.loads(sys.argv[2]))))
"""


def train(corpus: str, devices: int, mesh: dict[str, int]) -> dict:
    arguments = [sys.executable, "-c", PROGRAM, corpus, json.dumps(mesh), str(devices)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def alone(corpus):
    return train(corpus, 1, {"data": 1, "fsdp": 1, "tensor": 1})


@pytest.mark.parametrize(
    ("mesh", "pieces"),
    [
        ({"data": 8, "fsdp": 1, "tensor": 1}, 1),
        ({"data": 2, "fsdp": 4, "tensor": 1}, 4),
        ({"data": -1, "fsdp": 2, "tensor": 2}, 4),
    ],
)
def test_losses_do_not_depend_on_the_mesh(corpus, alone, mesh, pieces):
    found = train(corpus, 8, mesh)
    np.testing.assert_allclose(found["losses"], alone["losses"], rtol=2e-5)
    np.testing.assert_allclose(found["norm"], alone["norm"], rtol=2e-5)
    assert found["pieces"] == {"params": pieces, "opt_state": pieces, "ema": pieces}
    assert found["batch_rows"] == 8 // (found["mesh"]["data"] * found["mesh"]["fsdp"])
