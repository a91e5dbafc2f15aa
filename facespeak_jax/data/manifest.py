"""A corpus from anybody's footage: a JSONL of video, text and speaker becomes records.

Each line is an object with `video` (relative to the manifest, or absolute), `text`, and optionally
`speaker` (else every video counts as a speaker of its own), `id` and `split`; other keys are left
unread.
"""

import collections
import concurrent.futures
import contextlib
import functools
import hashlib
import itertools
import json
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import tqdm

from facespeak_jax.data import records
from facespeak_jax.data.prepare import prepare
from facespeak_jax.data.schema import Clip
from facespeak_jax.errors import BadManifest, FaceSpeakError, NothingPrepared

# Of the speakers, when the manifest names no splits.
HELD_OUT = 0.05
REJECTED = "rejected.jsonl"


class Entry(NamedTuple):
    """One video to be prepared."""

    video: Path
    text: str
    speaker: str
    clip_id: str
    split: str


Maker = Callable[[Entry], Clip | str]


class Report(NamedTuple):
    """Where the records are, how many clips they hold, and how many videos were rejected."""

    directory: Path
    kept: int
    rejected: int


def read(manifest: str | os.PathLike) -> list[Entry]:
    """The entries of a manifest, with splits disjoint in speakers.

    Raises:
      BadManifest: a line is no object with `video` and `text`, an id appears twice, or some lines
        name a split and others don't.
    """
    path = Path(manifest)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BadManifest(f"{path} can't be read ({error}); give a JSONL file.") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    entries = [_entry(path, number, line) for number, line in numbered]
    ids = collections.Counter(entry.clip_id for entry in entries)
    if twice := [clip_id for clip_id, count in ids.items() if count > 1]:
        raise BadManifest(f"{path}: {twice[0]!r} appears twice; give each line an `id` of its own.")
    named = [entry for entry in entries if entry.split]
    if not entries or 0 < len(named) < len(entries):
        raise BadManifest(f"{path}: name a `split` on every line or on none, of at least one line.")
    return entries if named else by_speaker(entries)


def _entry(path: Path, number: int, line: str) -> Entry:
    try:
        fields = json.loads(line)
    except json.JSONDecodeError as error:
        raise BadManifest(f"{path}, line {number}: not JSON ({error}).") from error
    if not isinstance(fields, dict) or not {"video", "text"} <= fields.keys():
        raise BadManifest(
            f"{path}, line {number}: an object with `video`, `text` and optionally `speaker`, `id` "
            "and `split` is expected."
        )
    values = {name: fields.get(name, "") for name in ("video", "text", "speaker", "id", "split")}
    if not all(isinstance(value, str) for value in values.values()) or not values["video"]:
        raise BadManifest(f"{path}, line {number}: `video` and the other fields must be strings.")
    if values["split"] not in ("", *records.SPLITS):
        raise BadManifest(f"{path}, line {number}: `split` must be one of {records.SPLITS}.")
    clip_id = values["id"] or Path(values["video"]).with_suffix("").as_posix()
    return Entry(
        video=path.parent / values["video"],
        text=values["text"],
        speaker=values["speaker"] or clip_id,
        clip_id=clip_id,
        split=values["split"],
    )


def by_speaker(entries: list[Entry]) -> list[Entry]:
    """The entries with splits: HELD_OUT of the speakers, chosen by a hash of their names, for each
    of the two smaller ones; below three speakers everything is for training."""
    names = {entry.speaker for entry in entries}
    order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
    held = max(1, round(HELD_OUT * len(order))) if len(order) >= 3 else 0
    split_of = {
        name: "test" if rank < held else "validation" if rank < 2 * held else "train"
        for rank, name in enumerate(order)
    }
    return [entry._replace(split=split_of[entry.speaker]) for entry in entries]


def build(
    entries: Iterable[Entry],
    out: str | os.PathLike,
    *,
    name: str,
    make: Maker,
    workers: int,
) -> Report:
    """Prepares every file and writes `<out>/<name>/1.0.0`; reasons go to `<out>/rejected.jsonl`.

    Args:
      entries: what to prepare.
      out: the directory, made if need be.
      name: of the corpus.
      make: an entry's clip or the reason why there can be none; run in other processes.
      workers: processes.

    Raises:
      NothingPrepared: every file was rejected. DataExists: there are records already.
    """
    entries = list(entries)
    Path(out).mkdir(parents=True, exist_ok=True)
    counts: collections.Counter[str] = collections.Counter()
    with contextlib.ExitStack() as stack:
        context = multiprocessing.get_context("spawn")
        pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context)
        stack.enter_context(pool)
        bar = stack.enter_context(tqdm.tqdm(total=len(entries), desc=name, unit="clip"))
        log = stack.enter_context((Path(out) / REJECTED).open("w", encoding="utf-8"))

        def clips(split: str) -> Iterator[Clip]:
            for entry, result in _prepared(pool, [e for e in entries if e.split == split], make):
                bar.update()
                counts[type(result).__name__] += 1
                if isinstance(result, Clip):
                    yield result
                else:
                    log.write(json.dumps({"video": str(entry.video), "reason": result}) + "\n")

        kept = {split: made for split in records.SPLITS if (made := _unless_empty(clips(split)))}
        if not kept:
            raise NothingPrepared(
                f"None of the {len(entries)} files could be used; {Path(out) / REJECTED} says why."
            )
        directory = records.write(os.fspath(out), kept, name=name)
    return Report(Path(directory), counts["Clip"], counts["str"])


def _unless_empty(clips: Iterator[Clip]) -> Iterator[Clip] | None:
    """The same clips, or None if there is none."""
    first = next(clips, None)
    return None if first is None else itertools.chain([first], clips)


def _prepared(
    pool: concurrent.futures.Executor, entries: list[Entry], make: Maker
) -> Iterator[tuple[Entry, Clip | str]]:
    """Results in the order of the entries, with a bounded number of clips in flight."""
    waiting: collections.deque = collections.deque()
    for entry in entries:
        waiting.append((entry, pool.submit(make, entry)))
        if len(waiting) > 64:
            first, future = waiting.popleft()
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()


def filmed(size: int) -> Maker:
    """Videos become clips of size × size frames: the step a Beam pipeline maps."""
    return functools.partial(_prepare_entry, size=size)


def _prepare_entry(entry: Entry, size: int) -> Clip | str:
    try:
        return prepare(
            entry.video,
            text=entry.text,
            speaker=entry.speaker,
            clip_id=entry.clip_id,
            size=size,
        )
    except FaceSpeakError as error:
        return str(error)
