"""`facespeak evaluate`: every system speaks, every judge looks, one report says how good it is.

Work is kept per clip below the output directory, so that the same command goes on where an
interrupted one stopped, and asks a judge that has been fetched meanwhile about what is there.
"""

import hashlib
import io
import json
import os
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tqdm
from PIL import Image

from facespeak_jax import export
from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.evaluation import drawings, measure, report, systems, take
from facespeak_jax.evaluation.columns import judges_of
from facespeak_jax.evaluation.judges import Judge, all_judges
from facespeak_jax.evaluation.judges import landmarks as face_points
from facespeak_jax.evaluation.machine import Machine
from facespeak_jax.evaluation.measure import Pair, People
from facespeak_jax.evaluation.signals import Signals
from facespeak_jax.evaluation.suites import Case, Suite, open_suite
from facespeak_jax.evaluation.systems import System
from facespeak_jax.evaluation.take import Take

SHOWN = 4  # clips of which pictures are drawn
REFERENCE = "reference"  # not a row: clips that tell how people sound
TRUTH = "ground_truth"
# What a single bad clip may raise; anything else is a fault of the program and ends the run.
FAILURES = (FaceSpeakError, ArithmeticError, LookupError, OSError, RuntimeError, ValueError)


class OtherRun(FaceSpeakError):
    """The output directory holds another run's work."""


class BadRow(FaceSpeakError):
    """A row is not given as NAME=WEIGHTS."""


@dataclass
class Run:
    """One evaluation: what is judged, by whom, where the work lies, and what went wrong."""

    suite: Suite
    rows: dict[str, System]
    judges: dict[str, Judge]
    out: Path
    cases: int
    errors: list[dict[str, str]] = field(default_factory=list)

    def take_of(self, row: str, case: Case) -> Take:
        """A row's take of a case, made now or earlier."""
        system = self.rows[row]
        path = self.out / "takes" / row / f"{case.name}.npz"
        if not system.kept:
            return system.make(case)
        if not path.exists():
            take.save(path, system.make(case))
        return take.load(path)

    def observe(self, row: str, name: str, made: Take, only: Collection[str]) -> dict[str, Any]:
        """What the judges named see in a take, now or earlier; one that fails is an error."""
        seen: dict[str, np.ndarray] = {}
        for judge in self.judges.values():
            if judge.name not in only or not judge.available():
                continue
            path = self.out / "seen" / row / f"{name}.{judge.name}.npz"
            if not path.exists():
                try:
                    _store(path, judge.observe(made))
                except FAILURES as error:
                    self.fail(f"{row} ({judge.name})", name, error)
                    continue
            seen |= _stored(path)
        return seen

    def fail(self, row: str, name: str, error: BaseException) -> None:
        """Notes an error; the run goes on."""
        text = f"{type(error).__name__}: {error}".splitlines()[0]
        self.errors.append({"system": row, "clip": name, "error": text})
        tqdm.tqdm.write(f"{row}, {name}: {text}", file=sys.stderr)


def evaluate(
    weights: str,
    suite: str,
    out: str,
    *,
    clips: int | None = None,
    corpus: str | None = None,
    rows: Sequence[str] = (),
    workers: int = 2,
) -> Path:
    """Generates, judges and writes `report.json`, `report.md` and pictures below `out`.

    Args:
      weights: a weights directory.
      suite: heads, grid or manifest:PATH.
      out: the directory, made if need be; work already there is not done again.
      clips: how many cases at most; all of the suite by default.
      corpus: prepared clips to use instead of those the suite would make.
      rows: further rows, NAME=WEIGHTS, that speak with other weights.
      workers: processes that prepare a corpus.

    Returns:
      The path of `report.md`.

    Raises:
      BadWeights, UnknownSuite, NoSuchData, AssetMissing, OtherRun, BadRow.
    """
    place = Path(out)
    place.mkdir(parents=True, exist_ok=True)
    machine = Machine(export.load(weights))
    twins = {name: Machine(export.load(path)) for name, path in map(_row, rows)}
    found = open_suite(
        suite, size=machine.size, corpus=corpus, out=place, clips=clips, workers=workers
    )
    facts = {
        "weights": _digest(weights),
        "rows": {name: _digest(path) for name, path in map(_row, rows)},
        "suite_digest": found.digest,
    }
    _claim(place, facts)
    everything = systems.registry(machine, twins)
    left_out = {
        name: f"the weights lack {', '.join(missing)}"
        for name, system in everything.items()
        if (missing := system.missing())
    }
    run = Run(
        found,
        {name: system for name, system in everything.items() if name not in left_out},
        {"signals": Signals(), **all_judges()},
        place,
        len(found) if clips is None else min(clips, len(found)),
    )
    for judge in run.judges.values():
        if not judge.available():
            print(f"{judge.name} is missing: {judge.advice()}", file=sys.stderr)
    return _report(run, _observed(run), facts, left_out)


@dataclass
class Observed:
    """What was seen of each row and case, by row and case name."""

    seen: dict[str, dict[str, dict[str, np.ndarray]]]
    people: People


def _observed(run: Run) -> Observed:
    """Makes and judges every take that is not yet, with a bar on stderr."""
    seen: dict[str, dict] = {row: {} for row in run.rows}
    people = People()
    speakers = []
    bar = tqdm.tqdm(total=run.cases * len(run.rows), desc="clips", unit="clip", smoothing=0.05)
    with bar:
        for case in _cases(run):
            speakers.append(case.speaker)
            for row, system in run.rows.items():
                bar.set_postfix_str(row, refresh=False)
                try:
                    made = run.take_of(row, case)
                    asked = judges_of(system.columns)
                    seen[row][case.name] = run.observe(row, case.name, made, only=asked)
                except FAILURES as error:
                    run.fail(row, case.name, error)
                bar.update()
            _meet(people, case, seen[TRUTH].get(case.name, {}))
    for speaker, name, made in run.suite.references(speakers):
        observed = run.observe(REFERENCE, name, made, only=("resemblyzer",))
        if "voice" in observed:
            people.voices.setdefault(speaker, {})[name] = observed["voice"]
    return Observed(seen, people)


def _cases(run: Run) -> Iterator[Case]:
    for index in range(run.cases):
        try:
            yield run.suite[index]
        except FAILURES as error:
            run.fail("suite", str(index), error)


def _meet(people: People, case: Case, truth: Mapping[str, np.ndarray]) -> None:
    """Remembers how the person of a case sounds and looks."""
    if "faces" in truth and np.isfinite(truth["faces"][0]).all():
        people.faces[case.name] = truth["faces"][0]
    if "melody" in truth and np.isfinite(truth["melody"]).any():
        people.pitches[case.speaker] = float(np.nanmedian(truth["melody"]))


def _report(
    run: Run, observed: Observed, facts: Mapping[str, Any], left_out: Mapping[str, str]
) -> Path:
    figures: dict[str, dict[str, Any]] = {row: {} for row in run.rows}
    for number, case in enumerate(_cases(run)):
        truth = observed.seen[TRUTH].get(case.name)
        if truth is None:
            continue
        made = {row: run.take_of(row, case) for row in run.rows if case.name in observed.seen[row]}
        for row, shown in made.items():
            system = run.rows[row]
            seen = observed.seen[row][case.name]
            pair = Pair(case, shown, seen, truth, observed.people, system.aligned, row == TRUTH)
            figures[row][case.name] = measure.figures(pair, system.columns)
        if number < SHOWN:
            _draw(run.out / "pictures", case, made, observed.seen)
    truths = observed.seen[TRUTH]
    cells = {
        row: report.averages(figures[row]) | report.of_all(observed.seen[row], truths)
        for row in run.rows
    }
    (run.out / "clips.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    composed = report.compose(
        run.suite.name,
        cells,
        run.judges,
        facts={**facts, "clips": run.cases},
        errors=run.errors,
        left_out=left_out,
    )
    return report.write(run.out, composed)


def _draw(folder: Path, case: Case, made: Mapping[str, Take], seen: Mapping[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    observed = {row: seen[row][case.name] for row in made}
    pictures = {
        "frames": drawings.contact_sheet({row: shown.frames for row, shown in made.items()}),
    }
    if mels := {row: found["mel"] for row, found in observed.items() if "mel" in found}:
        pictures["mel"] = drawings.mel_pair(mels)
    meshes = {row: found["landmarks"] for row, found in observed.items() if "landmarks" in found}
    if meshes:
        poses = {row: face_points.head_pose(mesh) for row, mesh in meshes.items()}
        pictures["head"] = drawings.traces(poses)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{case.name}-{name}.png")


def _row(given: str) -> tuple[str, str]:
    name, equals, path = given.partition("=")
    if not (name.isidentifier() and equals and path) or name in ("ground_truth", "codec", "ours"):
        raise BadRow(f"{given!r} should be NAME=WEIGHTS, with a name of its own such as no_energy")
    return name, path


def _digest(weights: str) -> str:
    """Of the sums that a weights directory was checked against."""
    return hashlib.sha256((Path(weights) / export.SUMS).read_bytes()).hexdigest()


def _claim(out: Path, facts: Mapping[str, Any]) -> None:
    """Makes the directory this run's, or raises OtherRun if it is another's.

    Further rows may be added to a run; what is there stays valid.
    """
    path = out / "run.json"
    known = json.loads(path.read_text()) if path.exists() else dict(facts)
    rows = {**known["rows"], **facts["rows"]}
    same = all(known[key] == facts[key] for key in ("weights", "suite_digest"))
    if not same or any(rows[name] != digest for name, digest in known["rows"].items()):
        raise OtherRun(
            f"{out} holds the work of other weights, rows or clips; remove it or write elsewhere"
        )
    path.write_text(json.dumps({**facts, "rows": rows}, indent=1) + "\n")


def _store(path: Path, seen: Mapping[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **seen)
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(buffer.getvalue())
    os.replace(unfinished, path)


def _stored(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}
