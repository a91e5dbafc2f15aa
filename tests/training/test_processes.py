"""Who takes part: the roll call between threads, and the flags; whole trainings are in
tests/multi_device/test_processes.py."""

import socket
import threading
import time

import pytest

from facespeak_jax.training import processes
from facespeak_jax.training.processes import Group


@pytest.fixture
def address():
    with socket.create_server(("", 0)) as probe:
        return f"127.0.0.1:{probe.getsockname()[1]}"


def call(groups, wait, late=0.0):
    """The error of each process's roll call, or None; the first comes `late` seconds later."""
    found = {}

    def one(group):
        time.sleep(late if group.index == 0 else 0)
        try:
            processes.roll_call(group, wait)
            found[group.index] = None
        except processes.MissingProcesses as error:
            found[group.index] = str(error)

    threads = [threading.Thread(target=one, args=(group,)) for group in groups]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return found


@pytest.mark.parametrize("late", [0.0, 0.7])
def test_all_are_there(address, late):
    groups = [Group(address, 4, index) for index in range(4)]
    assert call(groups, 20.0, late) == dict.fromkeys(range(4))
    # The port is free again: jax's own service takes it next.
    socket.create_server(("", groups[0].place[1])).close()


def test_who_is_missing_is_told_to_all_who_came(address):
    start = time.monotonic()
    found = call([Group(address, 4, index) for index in (0, 2)], 1.0)
    assert time.monotonic() - start < 10
    assert found[0] == found[2]
    assert found[0].startswith("2 of 4 hosts after 1 s (missing: 1, 3): start the same command on")


def test_without_process_0_the_others_say_where_they_looked(address):
    found = call([Group(address, 2, 1)], 1.0)
    assert f"process 1 of 2 could not reach process 0 at {address} in 1 s" in found[1]
    assert "every worker" in found[1]


def test_different_counts_are_told_apart(address):
    found = call([Group(address, 2, 0), Group(address, 3, 1)], 2.0)
    assert "1 of 2 hosts" in found[0]
    assert "told of 2 processes, this one is 1 of 3" in found[1]


def test_strangers_at_the_port_do_no_harm(address):
    first = threading.Thread(target=processes.roll_call, args=(Group(address, 2, 0), 20.0))
    first.start()
    for word in (b"GET / HTTP/1.1\r\n\r\n", b"\xff\xfe\n", b""):
        for _ in range(100):
            try:
                with socket.create_connection(Group(address, 2, 1).place, timeout=5) as stranger:
                    stranger.sendall(word)
                break
            except ConnectionRefusedError:
                time.sleep(0.05)
    processes.roll_call(Group(address, 2, 1), 20.0)
    first.join(20)
    assert not first.is_alive()


def test_a_port_in_use_is_named():
    with socket.create_server(("", 0)) as busy:
        port = busy.getsockname()[1]
        found = call([Group(f"localhost:{port}", 2, 0)], 1.0)
    assert f"cannot listen at port {port}" in found[0]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("host:1", 2, None), "together"),
        ((None, 2, 0), "together"),
        (("host", 2, 0), "HOST:PORT"),
        (("host:1", 2, 2), "got 2 of 2"),
        (("host:1", 2, -1), "got -1 of 2"),
    ],
)
def test_flags_that_contradict_each_other(arguments, reason):
    with pytest.raises(processes.BadGroup, match=reason):
        processes.group(*arguments, wait=1.0)


def test_one_process_needs_no_group(monkeypatch):
    monkeypatch.setattr(processes.chips, "expected", lambda _: "")
    assert processes.group(None, None, None, 1.0) is None
    assert processes.group("host:1", 1, 0, 1.0) is None
    assert processes.group("[::1]:12", 2, 1, 1.0).place == ("::1", 12)


def test_a_pod_names_its_processes_as_jax_finds_them(monkeypatch):
    from jax._src.clusters import ClusterEnv

    monkeypatch.setattr(processes.chips, "expected", lambda _: "a reason")
    for found in (("10.0.0.1:8482", 4, 3, None), ("10.0.0.1:8482", 1, 0, None), (None,) * 4):
        monkeypatch.setattr(
            ClusterEnv, "auto_detect_unset_distributed_params", lambda *_, f=found: f
        )
        group = processes.group(None, None, None, 1.0)
        assert group == (Group(*found[:3]) if found[1] == 4 else None)

    def fail(*_):
        raise RuntimeError("Failed to recognize coordinator address t-w-0")

    monkeypatch.setattr(ClusterEnv, "auto_detect_unset_distributed_params", fail)
    with pytest.raises(processes.MissingProcesses, match="t-w-0"):
        processes.group(None, None, None, 1.0)


def test_jax_takes_the_arguments_that_a_pod_is_asked_with():
    from jax._src.clusters import ClusterEnv

    found = ClusterEnv.auto_detect_unset_distributed_params(None, None, None, None, None, 1)
    assert len(found) == 4
