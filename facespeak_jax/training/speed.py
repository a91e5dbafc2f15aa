"""How fast a run is, what it waits for, and how much of its time was of use over all restarts."""

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import jax
from absl import logging
from etils import epath

from facespeak_jax.training import chips

FILE = "goodput.json"
T = TypeVar("T")


class Meter:
    """Measures the steps between two log lines.

    Args:
      clips: rows of a batch.
      flops: operations of one step on all devices; 0 if nobody counted them.
      clock: seconds.
    """

    def __init__(
        self, *, clips: int, flops: float = 0.0, clock: Callable[[], float] = time.monotonic
    ):
        self.clips, self.flops, self._clock = clips, flops, clock
        self.useful = 0.0  # seconds of steps so far, their waiting included
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0
        self._before = clock()

    def inputs(self, batches: Iterable[T]) -> Iterator[T]:
        """The batches, with the time they make the loop wait."""
        found = iter(batches)
        while True:
            start = self._clock()
            try:
                batch = next(found)
            except StopIteration:
                return
            self._waited += self._clock() - start
            yield batch

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        """Time that is not of steps: evaluations, saving."""
        start = self._clock()
        yield
        self._before += self._clock() - start

    def step(self, *, count: bool = True) -> None:
        """A step is done; one that was compiled should not `count`."""
        now = self._clock()
        if count:
            self._steps += 1
            self._seconds += now - self._before
            self.useful += now - self._before
        else:
            self._waited = 0.0
        self._before = now

    def values(self) -> dict[str, float]:
        """The figures since the last call; empty if no step counted."""
        steps, seconds, waited = self._steps, self._seconds, self._waited
        self._steps, self._seconds, self._waited = 0, 0.0, 0.0
        if not steps or seconds <= 0:
            return {}
        found = {
            "steps_per_second": steps / seconds,
            "clips_per_second": steps * self.clips / seconds,
            "input_wait": min(1.0, waited / seconds),
        }
        if self.flops:
            device = jax.devices()[0]
            tflops = 1e-12 * self.flops * steps / seconds / jax.device_count()
            found["tflops_per_device"] = tflops
            if chip := chips.of(device.device_kind):
                found["mfu"] = tflops / (chip.tflops / chip.devices)
        if peak := _peak_memory():
            found["hbm_peak_gb"] = peak
        return {f"speed/{name}": value for name, value in found.items()}


def _peak_memory() -> float:
    """The most memory a device of this process has had in use, in GB; 0 where none is counted."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    return max(1e-9 * found.get("peak_bytes_in_use", 0) for found in stats)


class Goodput:
    """The share of the time since a training first began that went into steps still in its state.

    Time between runs, start-up, compiling, evaluating, saving and steps that were lost count
    against it. Kept in `<workdir>/goodput.json`: when the training began, and the useful seconds
    behind each checkpoint. Losing the file loses the figure, nothing else.
    """

    def __init__(self, workdir: epath.PathLike, start: int, clock: Callable[[], float] = time.time):
        self._file, self._clock = epath.Path(workdir) / FILE, clock
        self._began, self._seconds = clock(), {}
        if start:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
                found = json.loads(self._file.read_text())
                seconds = {int(step): float(s) for step, s in found["useful"].items()}
                self._began, self._seconds = float(found["began"]), seconds
        self._before = max((s for step, s in self._seconds.items() if step <= start), default=0.0)

    def share(self, useful: float) -> float:
        """Of a run that has put `useful` seconds into steps by now."""
        return (self._before + useful) / max(self._clock() - self._began, 1e-9)

    def saved(self, step: int, useful: float) -> None:
        """The checkpoint of `step` has `useful` seconds of this run behind it."""
        self._seconds = {s: t for s, t in self._seconds.items() if s < step}
        self._seconds[step] = self._before + useful
        if jax.process_index() == 0:
            try:
                self._file.write_text(json.dumps({"began": self._began, "useful": self._seconds}))
            except OSError as error:
                logging.warning("%s was not written: %s", self._file, error)
