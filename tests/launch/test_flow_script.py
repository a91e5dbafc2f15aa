"""`launch/flow.sh`: every command it shows, its processes, and once the whole flow in earnest."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from facespeak_jax import video
from tests.launch.standin import ROOT

SCRIPT = "launch/flow.sh"
GOLDEN = Path(__file__).parent / "golden"
SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
STAGES = ("face", "sync", "vocoder", "speech", "motion", "joint")

# Stands in for `python` and `facespeak`: notes its words, then does what the file `plan` says.
STANDIN = """#!/bin/sh
echo "$@" >>"{place}/calls"
. "{place}/plan"
"""


class Flow:
    """The script in a shell that finds stand-ins for all it calls."""

    def __init__(self, place: Path):
        self.place = place
        self.begun: list[subprocess.Popen] = []
        (place / "bin").mkdir()
        for name in ("python", "facespeak"):
            (place / "bin" / name).write_text(STANDIN.format(place=place))
            (place / "bin" / name).chmod(0o755)
        self.plan("")

    def plan(self, shell: str) -> None:
        (self.place / "calls").write_text("")
        (self.place / "plan").write_text(shell)

    def begin(self, *words: str) -> subprocess.Popen:
        given = {"PATH": f"{self.place / 'bin'}:/usr/bin:/bin"}
        pipe = subprocess.PIPE
        command = ["bash", SCRIPT, *words]
        begun = subprocess.Popen(
            command,
            cwd=ROOT,
            env=given,
            text=True,
            stdout=pipe,
            stderr=pipe,
            start_new_session=True,
        )
        self.begun.append(begun)
        return begun

    def end(self) -> None:
        """Nothing outlives a test that failed: neither a script nor what it runs."""
        for begun in self.begun:
            if begun.poll() is None:
                os.killpg(begun.pid, signal.SIGKILL)
            begun.communicate()

    def __call__(self, *words: str) -> tuple[int, str, str]:
        begun = self.begin(*words)
        shown, said = begun.communicate(timeout=60)
        return begun.returncode, shown, said

    @property
    def calls(self) -> list[str]:
        return (self.place / "calls").read_text().splitlines()


@pytest.fixture
def flow(tmp_path):
    found = Flow(tmp_path)
    yield found
    found.end()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("flow", ("out/flow",)),
        (
            "flow_alone",
            ("W", "--processes=1", "--corpus", "my/clips", "--steps", "60", "--size=lite"),
        ),
    ],
)
def test_a_dry_run_shows_every_command_and_runs_none(flow, name, words):
    code, shown, said = flow("--dry-run", *words)
    assert code == 0, said
    assert shown == (GOLDEN / f"{name}.txt").read_text()
    assert flow.calls == []


def test_what_is_shown_is_what_runs(flow, tmp_path):
    words = (str(tmp_path / "out"), "--people=3", "--port", "9000")
    code, shown, said = flow(*words)
    assert code == 0, said
    assert flow("--dry-run", *words)[1] == shown
    commands = [re.sub(r" >>.*", "", line) for line in shown.splitlines()]
    commands = [line.split(maxsplit=1)[1] for line in commands if line[0] not in "#e"]
    assert sorted(flow.calls) == sorted(line.replace("'", "") for line in commands)
    assert len(flow.calls) == 1 + 2 * len(STAGES) + 3


def test_people_are_made_once(flow, tmp_path):
    (tmp_path / "data" / "heads" / "heads" / "1.0.0").mkdir(parents=True)
    assert flow(str(tmp_path))[0] == 0
    assert not any("prepare" in call for call in flow.calls)
    assert f"--corpus {tmp_path}/data/heads" in flow.calls[-2]


@pytest.mark.parametrize("index", [0, 1])
def test_a_training_that_fails_ends_the_others_and_the_flow(flow, tmp_path, index):
    flow.plan(
        f'case "$*" in *process_id={index}) echo "no such clips"; exit 3 ;; esac\n'
        'case "$*" in *facespeak_jax.main*) '
        'trap "kill \\$!; exit 0" TERM; sleep 50 & wait ;; esac\n'
    )
    begun = time.monotonic()
    code, shown, said = flow(str(tmp_path))
    assert code == 3
    assert "a training ended with 3" in said
    assert "no such clips" in shown + said
    assert len(flow.calls) == 3  # people, and the two processes of `face`
    assert time.monotonic() - begun < 40


def test_a_signal_has_the_trainings_save_and_ends_the_flow(flow, tmp_path):
    flow.plan(
        'case "$*" in *facespeak_jax.main*) '
        f'trap "kill \\$!; echo saved >>{tmp_path}/calls; exit 0" TERM; sleep 50 & '
        f"echo ready >>{tmp_path}/calls; wait ;; esac\n"
    )
    begun = flow.begin(str(tmp_path))
    until = time.monotonic() + 30
    while flow.calls.count("ready") < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    begun.send_signal(signal.SIGTERM)
    _, said = begun.communicate(timeout=30)
    assert begun.returncode == 143
    assert "the same call goes on" in said
    assert flow.calls.count("saved") == 2
    assert not any("sync" in call for call in flow.calls)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "OUT is not given"),
        (("my out",), "OUT can't be 'my out'"),
        (("out", "more"), "unexpected argument 'more'"),
        (("out", "--steps=0"), "--steps can't be '0'"),
        (("out", "--size=huge"), "--size can't be 'huge'"),
        (("out", "--corpus", "it's"), "--corpus can't be"),
        (("out", "--people"), "--people is unknown or needs a value"),
        (("out", "--speed=2"), "unknown option --speed"),
    ],
)
def test_wrong_usage_is_named_and_runs_nothing(flow, words, reason):
    code, _, said = flow(*words)
    assert code == 2
    assert reason in said
    assert flow.calls == []


def trained(text: str) -> list[str]:
    """The lines of a text that train one stage after the other."""
    lines = [line.strip() for line in text.splitlines()]
    first = lines.index("stage face")
    return lines[first : 1 + next(at for at, line in enumerate(lines) if "sync_expert" in line)]


def test_the_walk_through_of_a_pod_trains_the_same_stages():
    documented = trained((ROOT / "launch" / "README.md").read_text())
    assert documented == trained((ROOT / SCRIPT).read_text())
    assert [line.split()[1] for line in documented if line.startswith("stage")] == list(STAGES)


@pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck is not installed")
def test_shellcheck_is_content():
    assert SHELLCHECK is not None
    done = subprocess.run([SHELLCHECK, SCRIPT], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_the_whole_flow_with_two_processes(tmp_path):
    """From clips to a portrait that speaks; the second time nothing is trained again."""
    with socket.create_server(("", 0)) as probe:
        port = probe.getsockname()[1]
    words = ("--corpus", "tests/fixture/heads64", "--steps", "4", "--port", str(port))
    given = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "JAX_PLATFORMS": "cpu",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        "FACESPEAK_CACHE": str(tmp_path / "cache"),  # nobody's judges
    }
    out = tmp_path / "out"
    command = ["bash", SCRIPT, *words, str(out)]
    done = subprocess.run(command, cwd=ROOT, env=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for stage in STAGES:
        assert (out / stage / "checkpoints" / "4" / "state").exists()
        assert "JAX process 1 of 2" in (out / f"{stage}.1.log").read_text()
    report = json.loads((out / "evaluation" / "report.json").read_text())
    assert "ours" in report["systems"]
    assert len(list(video.frames_of(out / "morning.mp4"))) > 0
