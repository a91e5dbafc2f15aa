"""SIGTERM as a request to save and end, which all processes follow at the same step."""

import collections
import signal
import threading

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P


class Stop:
    """Turns SIGTERM into a request that the loop sees before its next step."""

    def __init__(self):
        self.asked = False

    def __enter__(self) -> "Stop":
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:  # only there may handlers be set; elsewhere the signal keeps its meaning
            self._before = signal.signal(signal.SIGTERM, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGTERM, self._before)

    def _ask(self, *_: object) -> None:
        self.asked = True


class Agreement:
    """Whether to stop, decided alike by all processes.

    One process simply looks. Several vote before every step: the maximum over their devices is one
    more small all-reduce in the stream of steps. The vote that counts is `lag` steps old and done,
    so nobody waits for it. A signal at any process thus stops all before the same step, at most
    `lag` steps later.
    """

    def __init__(self, stop: Stop, mesh: Mesh, lag: int):
        self._stop, self._lag = stop, lag
        self._several = jax.process_count() > 1
        self._votes: collections.deque[jax.Array] = collections.deque()
        self._split = NamedSharding(mesh, P(mesh.axis_names))
        self._most = jax.jit(lambda votes: votes.max(), out_shardings=NamedSharding(mesh, P()))

    def reached(self) -> bool:
        """To be asked once before every step, by all processes."""
        if not self._several:
            return self._stop.asked
        own = np.full(jax.local_device_count(), self._stop.asked, np.int32)
        votes = jax.make_array_from_process_local_data(self._split, own, (jax.device_count(),))
        self._votes.append(self._most(votes))
        return len(self._votes) > self._lag and bool(self._votes.popleft())
