"""Several processes that train together: who takes part, how long they wait, how they end.

Before jax connects the processes there is a roll call at the same address, because jax ends a
process whose peers do not come without saying who is missing. After it jax's heartbeats end
every process, with an exit code that is not zero, some time after one fell silent.
"""

import contextlib
import dataclasses
import os
import socket
import time
import types

import jax
from absl import logging

from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.training import chips

RETRY_SECONDS = 0.5
GREETING = "facespeak"
PRESENT = "all are here"


class BadGroup(FaceSpeakError):
    """The flags that say who takes part contradict each other."""


class MissingProcesses(FaceSpeakError):
    """Not every process came in time, or process 0 could not be reached."""


@dataclasses.dataclass(frozen=True)
class Group:
    """`count` processes, of which this one is `index`; process 0 listens at `address` (host:port).

    Raises BadGroup.
    """

    address: str
    count: int
    index: int

    def __post_init__(self):
        host, _, port = self.address.rpartition(":")
        if not host or not port.isdigit():
            raise BadGroup(f"--coordinator_address must be HOST:PORT; got {self.address!r}")
        if not 0 <= self.index < self.count:
            raise BadGroup(
                f"--process_id must be from 0 to --num_processes - 1; got {self.index} of "
                f"{self.count}"
            )

    @property
    def place(self) -> tuple[str, int]:
        host, _, port = self.address.rpartition(":")
        return host.strip("[]"), int(port)


def group(address: str | None, count: int | None, index: int | None, wait: float) -> Group | None:
    """The group that the flags name, else the one jax finds on a TPU pod; None for one process.

    Raises BadGroup, or MissingProcesses if the pod does not answer.
    """
    given = [value is not None for value in (address, count, index)]
    if any(given) and not all(given):
        raise BadGroup("give --coordinator_address, --num_processes and --process_id together")
    if address is not None and count is not None and index is not None:
        found = Group(address, count, index)
    else:
        found = _pod(wait) if chips.expected(os.environ) else None
    return found if found is not None and found.count > 1 else None


def _pod(wait: float) -> Group | None:
    """What `jax.distributed.initialize` would find out by itself; jax tells it in private only."""
    from jax._src.clusters import ClusterEnv

    nothing_known = (None, None, None, None, None)
    try:
        found = ClusterEnv.auto_detect_unset_distributed_params(*nothing_known, int(wait))
    except (OSError, RuntimeError) as error:
        raise MissingProcesses(
            f"this machine's TPU pod does not say who takes part ({error}); wait until all its "
            "hosts are up, or give --coordinator_address, --num_processes and --process_id"
        ) from error
    address, count, index, _ = found
    if address is None or count is None or index is None:
        return None
    return Group(address, count, index)


class Joined(contextlib.AbstractContextManager):
    """Connects the processes of `group`; leaves together, or at once after an error.

    Args:
      group: who takes part; None does nothing.
      wait: seconds until every process must have come.
      silence: seconds without a sign of life after which a process counts as lost.

    Raises:
      MissingProcesses: on entering.
    """

    def __init__(self, group: Group | None, *, wait: float, silence: float):
        self.group, self.wait, self.silence = group, wait, silence

    def __enter__(self) -> None:
        if self.group is None:
            return
        roll_call(self.group, self.wait)
        if "jax_enable_preemption_service" in jax.config.values:
            # It would take SIGTERM for itself; `stop.py` agrees on the step to stop at.
            jax.config.update("jax_enable_preemption_service", False)
        jax.distributed.initialize(
            self.group.address,
            self.group.count,
            self.group.index,
            initialization_timeout=max(1, round(self.wait)),
            heartbeat_timeout_seconds=max(1, round(self.silence)),
            shutdown_timeout_seconds=max(1, round(self.silence)),
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: types.TracebackType | None,
    ) -> None:
        if self.group is None:
            return
        if error is None:
            jax.distributed.shutdown()
            return
        # The others wait for this process somewhere, so it must not wait for them: without a word
        # of farewell they notice that it is gone.
        if isinstance(error, FaceSpeakError):
            logging.error("%s", error)
        else:
            logging.error("Process %d failed", self.group.index, exc_info=error)
        logging.flush()
        os._exit(1)


def roll_call(group: Group, wait: float) -> None:
    """Returns when all processes of `group` are there. Raises MissingProcesses after `wait` s."""
    if group.index == 0:
        _call(group, wait)
    else:
        _answer(group, wait)


def _call(group: Group, wait: float) -> None:
    """Process 0: waits for every other one and tells all of them how it went."""
    until = time.monotonic() + wait
    try:
        listening = _listen(group.place[1])
    except OSError as error:
        raise MissingProcesses(
            f"process 0 cannot listen at port {group.place[1]} ({error}); is another training "
            "running here?"
        ) from error
    here: dict[int, socket.socket] = {}
    with listening, contextlib.ExitStack() as stack:
        while len(here) < group.count - 1 and (left := until - time.monotonic()) > 0:
            listening.settimeout(left)
            try:
                guest = stack.enter_context(listening.accept()[0])
                guest.settimeout(min(5.0, left))
                here[_greeted(guest, group)] = guest
            except (TimeoutError, ConnectionError, ValueError):
                continue  # the time is over, or a stranger knocked
        missing = [index for index in range(1, group.count) if index not in here]
        verdict = _missing(group, missing, wait) if missing else PRESENT
        for guest in here.values():
            with contextlib.suppress(OSError):
                guest.sendall(f"{GREETING} {verdict}\n".encode())
    if missing:
        raise MissingProcesses(verdict)


def _listen(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    return socket.create_server(("", port))


def _greeted(guest: socket.socket, group: Group) -> int:
    """The index a guest gives. Raises ValueError for anyone who is not of this group."""
    name, count, index = _line(guest).split()
    if name != GREETING:
        raise ValueError
    if int(count) != group.count or not 0 < int(index) < group.count:
        other = f"process 0 was told of {group.count} processes, this one is {index} of {count}"
        guest.sendall(f"{GREETING} {other}: give all the same --num_processes\n".encode())
        raise ValueError
    return int(index)


def _missing(group: Group, missing: list[int], wait: float) -> str:
    names = ", ".join(map(str, missing[:16])) + (" and more" if len(missing) > 16 else "")
    return (
        f"{group.count - len(missing)} of {group.count} hosts after {wait:g} s (missing: {names}): "
        "start the same command on every worker"
    )


def _answer(group: Group, wait: float) -> None:
    """Any other process: finds process 0, gives its name and waits for the verdict."""
    until = time.monotonic() + wait
    while True:
        try:
            left = max(0.1, until - time.monotonic())
            with socket.create_connection(group.place, timeout=left) as host:
                host.sendall(f"{GREETING} {group.count} {group.index}\n".encode())
                host.settimeout(wait + 10)  # process 0 may have begun to wait just now
                verdict = _line(host)
            break
        except OSError as error:
            if time.monotonic() + RETRY_SECONDS > until:
                raise MissingProcesses(
                    f"process {group.index} of {group.count} could not reach process 0 at "
                    f"{group.address} in {wait:g} s ({error}): start the same command on every "
                    "worker, and let the workers reach each other at that port"
                ) from error
            time.sleep(RETRY_SECONDS)
    name, _, verdict = verdict.partition(" ")
    if name != GREETING:
        raise MissingProcesses(f"what listens at {group.address} is not this program's process 0")
    if verdict != PRESENT:
        raise MissingProcesses(verdict)


def _line(other: socket.socket) -> str:
    """A line of at most 1000 bytes. Raises ConnectionError if the other end hangs up before."""
    found = b""
    while not found.endswith(b"\n") and len(found) < 1000:
        more = other.recv(1000)
        if not more:
            raise ConnectionError("the connection was closed")
        found += more
    return found.decode(errors="replace").strip()
