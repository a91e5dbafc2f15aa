"""The work of one evaluation: takes and what judges saw in them, kept per clip below one directory.

The same command goes on where an interrupted one stopped, and asks a judge that has been fetched
meanwhile about what is there. A clip that fails is noted, and the run goes on.
"""

import io
import json
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tqdm

from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.evaluation import take
from facespeak_jax.evaluation.judges import Judge
from facespeak_jax.evaluation.suites import Case, Suite
from facespeak_jax.evaluation.systems.rows import System
from facespeak_jax.evaluation.take import Take

Seen = dict[str, np.ndarray]  # what was observed in a take, by name
# Another number whenever the same weights would be made to speak, or looked at, in another way.
PROTOCOL = 4
# What a single bad clip may raise; anything else is a fault of the program and ends the run.
FAILURES = (FaceSpeakError, ArithmeticError, LookupError, OSError, RuntimeError, ValueError)


class OtherRun(FaceSpeakError):
    """The output directory holds another run's work."""


def _on_stderr(text: str) -> None:
    tqdm.tqdm.write(text, file=sys.stderr)


@dataclass
class Run:
    """What is judged, by whom, where the work lies, and what went wrong; `tell` says so at once."""

    suite: Suite
    rows: dict[str, System]
    judges: dict[str, Judge]
    out: Path
    cases: int
    errors: list[dict[str, str]] = field(default_factory=list)
    tell: Callable[[str], None] = _on_stderr

    def each_case(self, numbers: Iterable[int] | None = None) -> Iterator[Case]:
        """The cases that can be read, of those numbers or of all."""
        for index in range(self.cases) if numbers is None else numbers:
            try:
                yield self.suite[index]
            except FAILURES as error:
                self.fail("suite", str(index), error)

    def take_of(self, row: str, case: Case) -> Take:
        """A row's take of a case, made now or earlier."""
        system = self.rows[row]
        path = self.out / "takes" / row / f"{case.name}.npz"
        if not system.kept:
            return system.make(case)
        if not path.exists():
            take.save(path, system.make(case))
        return take.load(path)

    def observe(self, row: str, name: str, made: Take, only: Collection[str]) -> Seen:
        """What the judges named see in a take, now or earlier; one that fails is an error."""
        seen: Seen = {}
        for judge in self.judges.values():
            if judge.name not in only or not judge.available():
                continue
            who = f"{judge.name}{judge.sha256[:8]}"
            try:
                seen |= self.kept(row, f"{name}.{who}", lambda judge=judge: judge.observe(made))
            except FAILURES as error:
                self.fail(f"{row} ({judge.name})", name, error)
        return seen

    def kept(self, row: str, name: str, see: Callable[[], Mapping[str, np.ndarray]]) -> Seen:
        """What `see` finds, now or earlier."""
        path = self.out / "seen" / row / f"{name}.npz"
        if not path.exists():
            _store(path, see())
        return _stored(path)

    def fail(self, row: str, name: str, error: BaseException) -> None:
        """Notes an error; the run goes on."""
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        self.errors.append({"system": row, "clip": name, "error": text})
        self.tell(f"{row}, {name}: {text}")


def claim(out: Path, facts: Mapping[str, Any]) -> None:
    """Makes the directory this run's, or raises OtherRun if it is another's.

    Further rows may be added to a run; what is there stays valid.
    """
    path = out / "run.json"
    known = json.loads(path.read_text()) if path.exists() else dict(facts)
    rows = {**known["rows"], **facts["rows"]}
    same = all(known.get(key) == facts.get(key) for key in {*known, *facts} - {"rows"})
    if not same or any(rows[name] != digest for name, digest in known["rows"].items()):
        raise OtherRun(
            f"{out} holds the work of other weights, rows or clips, or of another version of this "
            "program; remove it or write elsewhere"
        )
    path.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


def _store(path: Path, seen: Mapping[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **seen)
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(buffer.getvalue())
    os.replace(unfinished, path)


def _stored(path: Path) -> Seen:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
