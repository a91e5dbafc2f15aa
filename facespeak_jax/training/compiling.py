"""Compiled programs: kept beside the training, counted, and a warning where one is made again."""

import threading
from collections.abc import Mapping
from typing import Any

import jax
from absl import logging
from etils import epath

Shapes = dict[str, tuple[tuple[int, ...], str]]  # name -> shape and dtype


def keep(workdir: epath.PathLike) -> None:
    """Keeps compiled programs in `<workdir>/compiled`, unless jax was told of another place."""
    if jax.config.values["jax_compilation_cache_dir"] is None:
        jax.config.update("jax_compilation_cache_dir", str(epath.Path(workdir) / "compiled"))


class Counter:
    """How many programs were asked for and how many came from the cache, while it is open."""

    def __init__(self):
        self.asked = self.hits = 0
        self._lock = threading.Lock()

    def __enter__(self) -> "Counter":
        jax.monitoring.register_event_listener(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        jax.monitoring.unregister_event_listener(self._count)

    def _count(self, event: str, **_: str | int) -> None:
        with self._lock:
            self.asked += event == "/jax/compilation_cache/compile_requests_use_cache"
            self.hits += event == "/jax/compilation_cache/cache_hits"

    def __str__(self) -> str:
        where = jax.config.values["jax_compilation_cache_dir"]
        if where is None:
            return "no compile cache is in use"
        return f"{self.hits} of {self.asked} programs came from the compile cache {where}"


class Watch:
    """Warns of batches whose shapes make the step be compiled once more."""

    def __init__(self):
        self.again = 0  # how often
        self._known: list[Shapes] = []

    def see(self, batch: Mapping[str, Any], step: int) -> None:
        shapes = {name: (tuple(x.shape), str(x.dtype)) for name, x in batch.items()}
        if shapes in self._known:
            return
        if self._known:
            self.again += 1
            before = self._known[-1]
            changes = [
                f"{name} is {_text(shapes.get(name))}, was {_text(before.get(name))}"
                for name in sorted(shapes.keys() | before.keys())
                if shapes.get(name) != before.get(name)
            ]
            logging.warning("Step %d is compiled again: %s", step, "; ".join(changes))
        self._known.append(shapes)


def _text(found: tuple[tuple[int, ...], str] | None) -> str:
    return "absent" if found is None else f"{found[1]} {found[0]}"
