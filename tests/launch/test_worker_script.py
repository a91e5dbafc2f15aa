"""`launch/worker.sh`: what `tpu.sh` starts, stops and asks on two workers that are directories."""

import os
import subprocess
import time

import pytest

from tests.launch.standin import SPOT, TRAINING

# The training program of a worker: notes its arguments, ends at a word or when it is told to.
PYTHON = """#!/bin/bash
case "$*" in *pip*|*doctor*) echo "$*" >> "$HOME/installed"; exit 0;; esac
printf '%s\\n' "$JAX_PLATFORMS" "$@" > "$HOME/trained_with"
trap 'echo saved > "$HOME/saved"; exit 0' TERM
echo step
while [ ! -e "$HOME/end" ]; do /bin/sleep 0.05; done
exit "$(cat "$HOME/end")"
"""


@pytest.fixture
def homes(cloud):
    """The home directories of two workers, which gcloud reaches."""
    found = [cloud.root / name for name in ("worker0", "worker1")]
    for home in found:
        python = home / "facespeak_venv" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.write_text(PYTHON)
        python.chmod(0o755)
    cloud.script("sleep", "#!/bin/sh\nexec /bin/sleep 0.1\n")
    cloud.play(workers=" ".join(map(str, found)))
    assert cloud("setup", "pod", "--data=gs://bucket/data").returncode == 0
    yield found
    cloud("stop", "pod")


@pytest.fixture
def start(cloud, homes):
    """Starts `tpu.sh run` and waits until both workers train."""
    runs = []

    def begin():
        assert cloud("status", "pod").stdout.count(": idle") == 2
        run = subprocess.Popen(
            ["bash", str(cloud.root / "code/launch/tpu.sh"), "run", "pod", *SPOT, "--", *TRAINING],
            env={"PROJECT": "p", "ZONE": "us-central2-b", "PATH": f"{cloud.bin}:/usr/bin:/bin"},
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        runs.append(run)
        wait_for(*(home / "trained_with" for home in homes))
        return run

    yield begin
    for run in runs:
        run.kill()
        run.communicate()


def wait_for(*paths):
    deadline = time.monotonic() + 120
    while not all(path.exists() for path in paths):
        assert time.monotonic() < deadline, paths
        time.sleep(0.05)


def test_a_training_on_two_workers_from_setup_to_its_end(cloud, homes, start):
    run = start()
    for home in homes:
        assert (home / "facespeak_jax" / "launch" / "tpu.sh").exists()
        assert not (home / "facespeak_new").exists()
        assert "jax[tpu]" in (home / "installed").read_text()
        fetched = (home / "fetched").read_text()
        assert fetched == f"rsync --recursive gs://bucket/data {home}/data"
        words = (home / "trained_with").read_text().splitlines()
        assert words == ["tpu,cpu", "-m", "facespeak_jax.main", *TRAINING]
    assert cloud("status", "pod").stdout.count(": running") == 2
    assert cloud("setup", "pod").returncode == 1  # not under a running training
    (homes[0] / "end").write_text("0")
    (homes[1] / "end").write_text("0")
    assert run.wait(120) == 0
    assert "the training is finished" in run.stderr.read()
    assert (homes[0] / "facespeak_run" / "train.log").read_text() == "step\n"


def test_stop_lets_the_training_save_and_run_can_be_repeated(cloud, homes, start):
    run = start()
    done = cloud("stop", "pod")
    assert done.stdout.count(": stopped 0") == 2
    assert all((home / "saved").exists() for home in homes)
    assert run.wait(120) == 0
    for home in homes:
        (home / "end").write_text("4")
    assert cloud("run", "pod", *SPOT, "--", *TRAINING).returncode == 4


def test_a_training_that_is_killed_counts_as_interrupted(cloud, homes, start):
    run = start()
    run.kill()
    run.wait()
    pid = int((homes[0] / "facespeak_run" / "pid").read_text())
    os.kill(pid, 9)
    os.kill(int((homes[0] / "facespeak_run" / "child").read_text()), 9)
    wait_for(homes[0] / "facespeak_run" / "pid")
    time.sleep(0.2)
    shown = cloud("status", "pod").stdout
    assert shown.count(": interrupted") == 1
    assert shown.count(": running") == 1


def test_start_twice_is_once_and_another_training_is_refused(cloud, homes, start):
    run = start()
    worker = ["bash", str(homes[0] / "facespeak_jax/launch/worker.sh"), "start"]
    given = {"HOME": str(homes[0]), "PATH": "/usr/bin:/bin"}
    again = subprocess.run([*worker, *TRAINING], env=given, capture_output=True, text=True)
    assert (again.returncode, again.stdout) == (0, "running already\n")
    other = subprocess.run([*worker, "--config=x"], env=given, capture_output=True, text=True)
    assert other.returncode == 1
    assert "stop it first" in other.stderr
    run.kill()
    run.wait()


def test_what_does_not_stop_is_killed_after_a_while(cloud, homes, start):
    stubborn = PYTHON.replace("echo saved", "true").replace("exit 0' TERM", "' TERM")
    for home in homes:
        (home / "facespeak_venv" / "bin" / "python").write_text(stubborn)
    run = start()
    done = cloud("stop", "pod", STOP_SECONDS="2")
    assert "killed. The last complete checkpoint stands" in done.stderr
    assert done.stdout.count(": stopped 137") == 2
    assert run.wait(120) == 137
