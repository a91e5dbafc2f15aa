"""Batches as a pure function of (seed, step): no reader state, the same on one host or many."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, SupportsIndex, runtime_checkable

import grain
import jax
import numpy as np
from absl import flags, logging
from jax.sharding import NamedSharding
from ml_collections import ConfigDict

from facespeak_jax.data import records
from facespeak_jax.data.records import Clips
from facespeak_jax.data.schema import BadExample
from facespeak_jax.errors import FaceSpeakError

_ATTEMPTS = 32  # clips tried for one example before the data is called bad
BATCHES_A_WORKER = 2  # that wait to be used

Example = dict[str, np.ndarray | np.generic]


class BadData(FaceSpeakError):
    """The data cannot make a batch."""


@runtime_checkable
class ExampleMaker(Protocol):
    """Makes one example from the clip at `position`: numpy arrays, of the same shapes every time.

    It may read other clips (of the same speaker, say) and draws every random choice from `rng`.
    Raises BadExample when the clip cannot be used; the pipeline then draws another.
    """

    def __call__(self, clips: Clips, rng: np.random.Generator, position: int) -> Example: ...


class Batches:
    """`batches[step]` is a dict of stacked arrays that depends on the seed and the step alone.

    Example n of all time is `step * batch + row`. Its clip comes from a reshuffle of every epoch
    (of each source, mixed by weight), its randomness from (seed, n); a clip that raises BadExample
    is replaced by one drawn from (seed, n, attempt).
    """

    def __init__(
        self,
        sources: Sequence[Clips],
        weights: Sequence[float],
        example: ExampleMaker,
        *,
        seed: int,
        batch: int,
        rows: slice | Sequence[int] = slice(None),
    ):
        for clips in sources:
            if not len(clips):
                raise BadData(f"{clips.name} is empty")
        self.batch = batch
        self.replaced = 0  # clips, in what `prefetch` gave out
        self.sources = sources
        self._example = example
        self._seed = seed
        self._rows = range(batch)[rows] if isinstance(rows, slice) else rows
        shuffled = [
            grain.MapDataset.source(_Positions(i, len(clips))).seed(seed + i).shuffle().repeat()
            for i, clips in enumerate(sources)
        ]
        self._schedule = grain.MapDataset.mix(shuffled, list(weights))

    def __len__(self) -> int:
        return 2**31 - 1

    def __getitem__(self, step: SupportsIndex) -> Example:
        """This process's rows of the batch of `step`. Raises BadData."""
        return self.made(step.__index__())[0]

    def made(self, step: int) -> tuple[Example, int]:
        """The same, and how many clips were replaced in it. Raises BadData."""
        examples, _, attempts = zip(*self._examples(step), strict=True)
        try:
            batch: Example = {
                name: np.stack([one[name] for one in examples]) for name in examples[0]
            }
        except ValueError as error:
            shapes = {name: sorted({one[name].shape for one in examples}) for name in examples[0]}
            raise BadData(f"the examples of step {step} differ in shape: {shapes}") from error
        return batch, sum(attempts)

    def clip_ids(self, step: int) -> list[str]:
        """The clips behind this process's rows of `step`."""
        return [clip_id for _, clip_id, _ in self._examples(step)]

    def _examples(self, step: int) -> Iterator[tuple[Example, str, int]]:
        return (self._make(step * self.batch + row) for row in self._rows)

    def _make(self, n: int) -> tuple[Example, str, int]:
        """Example n of all time, its clip, and how many were tried before it."""
        drawn = self._schedule[n]
        assert drawn is not None  # it is only where a schedule filters
        source, position = drawn
        for attempt in range(_ATTEMPTS):
            rng = np.random.default_rng((self._seed, n, attempt))
            clips = self.sources[source]
            if attempt:
                position = int(rng.integers(len(clips)))
            try:
                return self._example(clips, rng, position), clips.clip_ids[position], attempt
            except BadExample as error:
                logging.log_first_n(
                    logging.WARNING, "Replaced clip %s: %s", 20, clips.clip_ids[position], error
                )
        raise BadData(
            f"{_ATTEMPTS} clips of {clips.name} in a row cannot be used; the last was {position}"
        )


class _Positions(Sequence[tuple[int, int]]):
    """(source, 0), (source, 1), …"""

    def __init__(self, source: int, length: int):
        self._source, self._length = source, length

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, position: int) -> tuple[int, int]:
        return self._source, position


def batches(
    config: ConfigDict,
    example: ExampleMaker,
    *,
    split: str,
    rows: slice | Sequence[int] = slice(None),
) -> Batches:
    """Batches of `config.data` (`paths` mixed by `weights`; `batch`), seeded by `config.seed`."""
    data = config.data
    if not data.paths or len(data.paths) != len(data.weights):
        raise BadData(
            f"config.data needs at least one path and a weight for each; got paths {data.paths} "
            f"and weights {data.weights}"
        )
    return Batches(
        [records.open_split(path, split) for path in data.paths],
        data.weights,
        example,
        seed=config.seed,
        batch=data.batch,
        rows=rows,
    )


def local_rows(sharding: NamedSharding, batch: int) -> list[int]:
    """The rows of a global batch that live on this process's devices, in order.

    They need not be neighbours: a mesh follows the wiring of the chips, a host holds a block of it.
    """
    places: Mapping[Any, Any] = sharding.addressable_devices_indices_map((batch,))
    return sorted({row for (rows,) in places.values() for row in range(*rows.indices(batch))})


def to_device(batch: Example, sharding: NamedSharding) -> dict[str, jax.Array]:
    """This process's rows -> global arrays sharded over their first axis."""
    return {name: jax.make_array_from_process_local_data(sharding, x) for name, x in batch.items()}


def prefetch(
    source: Batches, start: int, stop: int, *, threads: int, workers: int = 0
) -> Iterator[Example]:
    """Batches `start` to `stop` in order, made ahead of time and counted.

    By `threads` of this process or, for chips that eat faster than one Python can feed, by as many
    in each of `workers` processes.
    """
    steps = grain.MapDataset.range(start, stop).map(source.made)
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * threads)
    ahead = steps.to_iter_dataset(options)
    if workers:
        if not flags.FLAGS.is_parsed():  # grain has flags of its own, and asks for their values
            flags.FLAGS.mark_as_parsed()
        processes = grain.MultiprocessingOptions(
            num_workers=workers, per_worker_buffer_size=BATCHES_A_WORKER
        )
        ahead = ahead.mp_prefetch(processes, worker_init_fn=_begin_worker)
    with contextlib.closing(iter(ahead)) as made:
        for batch, replaced in made:
            source.replaced += replaced
            yield batch


def _begin_worker(index: int, count: int) -> None:
    """Makes a process one that only reads: it leaves the accelerator alone, and it is not asked to
    stop, which whoever uses its batches is, but ends with that process, however that ends."""
    del index, count
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, signal.SIG_IGN)
    jax.config.update("jax_platforms", "cpu")
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
