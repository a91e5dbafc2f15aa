"""`facespeak evaluate`: every system speaks, every judge looks, one report says how good it is."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from PIL import Image

from facespeak_jax.evaluation import looking
from facespeak_jax.evaluation.experiments.experiment import Probe, Table
from facespeak_jax.evaluation.judges import landmarks as face_points
from facespeak_jax.evaluation.report import drawings, measure, report
from facespeak_jax.evaluation.report.cells import Cells, Differences, Row
from facespeak_jax.evaluation.report.measure import Pair, People
from facespeak_jax.evaluation.request import Request, named, seeds_of
from facespeak_jax.evaluation.run import Run, Seen, claim
from facespeak_jax.evaluation.suites import Case
from facespeak_jax.evaluation.take import Take

SHOWN = 4  # clips of which pictures are drawn
REFERENCE = "reference"  # not a row: clips that tell how people sound
TRUTH = "ground_truth"
VOICE = "resemblyzer"


def evaluate(
    weights: str,
    suite: str,
    out: str,
    *,
    experiment: str = "",
    clips: int | None = None,
    corpus: str | None = None,
    rows: Sequence[str] = (),
    workers: int = 1,
) -> Path:
    """Generates, judges and writes `report.json`, `report.md` and pictures below `out`.

    Args:
      weights: a weights directory.
      suite: heads, grid or manifest:PATH.
      out: the directory, made if need be; work already there is not done again.
      experiment: one of `experiments.catalogue.EXPERIMENTS` instead of the whole table.
      clips: how many cases at most; all of the suite by default.
      corpus: prepared clips to use instead of those the suite would make.
      rows: further rows, NAME=WEIGHTS, that speak with other weights; parts that those lack are
        taken from `weights`, and a name of `twins.TWINS` says how they are run. `cascade` alone is
        that of the shipped weights.
      workers: processes that make the suite and then share its cases, where jax runs on the CPU.

    Returns:
      The path of `report.md`.

    Raises:
      BadWeights, UnknownSuite, UnknownExperiment, NoSuchData, AssetMissing, OtherRun, BadRow.
    """
    place = Path(out)
    place.mkdir(parents=True, exist_ok=True)
    request = Request(weights, suite, place, experiment, clips, corpus, dict(map(named, rows)))
    plan, size = request.plan()
    found = request.open(size, workers)
    facts = request.facts(found)
    claim(place, facts)
    left_out = request.left_out(plan)
    run = request.run(plan, found)
    for judge in run.judges.values():
        if not judge.available():
            print(f"{judge.name} is missing: {judge.advice()}", file=sys.stderr)
    if workers > 1 and jax.default_backend() == "cpu":  # an accelerator is one process's own
        looking.ahead(request, run, plan, workers)
    if isinstance(plan, Table):
        cells, differences = _of_table(run, plan)
    else:
        cells, differences = _of_probe(run, plan, left_out)
    question = {"question": plan.question} if experiment else {}
    composed = report.compose(
        found.name,
        cells,
        run.judges,
        differences=differences,
        facts={**facts, **question, "clips": run.cases},
        errors=run.errors,
        left_out=left_out,
    )
    return report.write(place, composed)


def _of_table(run: Run, plan: Table) -> tuple[dict[str, Cells], Differences]:
    """The cells of takes that judges look at."""
    observed = _observed(run, plan)
    figures = _figures(run, observed, [row for row in plan.rows if row in run.rows])
    for row in figures:
        for name, drawn in observed.seen.get(seeds_of(row), {}).items():
            if name in figures[row]:
                figures[row][name] |= measure.seed_diversity(drawn)
                if "features" in drawn:
                    observed.seen[row][name]["features"] = drawn["features"]
    text = json.dumps(figures, indent=1)
    (run.out / "clips.json").write_text(text + "\n", encoding="utf-8")
    truths = observed.seen[TRUTH]
    rows = {row: Row(figures[row], observed.seen[row], truths) for row in figures}
    pairs = {row: other for row, other in plan.against.items() if {row, other} <= rows.keys()}
    return (
        {name: row.cells() for name, row in rows.items()},
        {row: (other, rows[row].differences(rows[other])) for row, other in pairs.items()},
    )


def _of_probe(
    run: Run, plan: Probe, left_out: dict[str, str]
) -> tuple[dict[str, Cells], Differences]:
    """The cells of an experiment that looks for itself; none without its judges."""
    missing = [judge for judge in run.judges.values() if not judge.available()]
    if missing:
        advice = "; ".join(judge.advice() for judge in missing)
        left_out |= dict.fromkeys(plan.rows, f"{missing[0].name} is missing: {advice}")
        return {}, {}
    seen: dict[str, dict[str, Seen]] = {row: {} for row in plan.rows}
    cases: dict[str, Case] = {}
    for case, found in looking.each(run, plan):
        cases[case.name] = case
        for row in found:
            seen[row][case.name] = found[row]
    return plan.cells(seen, cases), plan.differences(seen)


@dataclass
class Observed:
    """What was seen of each row and case, by row and case name."""

    seen: dict[str, dict[str, Seen]]
    people: People


def _observed(run: Run, plan: Table) -> Observed:
    """Makes and judges every take that is not yet, with a bar on stderr."""
    seen: dict[str, dict[str, Seen]] = {row: {} for row in run.rows}
    people = People()
    speakers = []
    for case, found in looking.each(run, plan):
        speakers.append(case.speaker)
        for row in found:
            seen[row][case.name] = found[row]
        _meet(people, case, found.get(TRUTH, {}))
    for speaker, name, made in run.suite.references(speakers):
        observed = run.observe(REFERENCE, name, made, only=(VOICE,))
        if "voice" in observed:
            people.voices.setdefault(speaker, {})[name] = observed["voice"]
    return Observed(seen, people)


def _meet(people: People, case: Case, truth: Mapping[str, np.ndarray]) -> None:
    """Remembers how the person of a case sounds and looks."""
    if "faces" in truth and np.isfinite(truth["faces"][0]).all():
        people.faces[case.name] = truth["faces"][0]
    if "melody" in truth and np.isfinite(truth["melody"]).any():
        people.pitches[case.speaker] = float(np.nanmedian(truth["melody"]))


def _figures(run: Run, observed: Observed, rows: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The figures by row and case; pictures of the first cases on the way."""
    figures: dict[str, dict[str, Any]] = {row: {} for row in rows}
    for number, case in enumerate(run.each_case()):
        truth = observed.seen[TRUTH].get(case.name)
        if truth is None:
            continue
        made = {row: run.take_of(row, case) for row in rows if case.name in observed.seen[row]}
        for row, shown in made.items():
            system = run.rows[row]
            seen = observed.seen[row][case.name]
            pair = Pair(case, shown, seen, truth, observed.people, system.aligned, row == TRUTH)
            figures[row][case.name] = measure.figures(pair, system.columns)
        if number < SHOWN:
            _draw(run.out / "pictures", case, made, observed.seen)
    return figures


def _draw(folder: Path, case: Case, made: Mapping[str, Take], seen: Mapping[str, Any]) -> None:
    folder.mkdir(exist_ok=True)
    observed = {row: seen[row][case.name] for row in made}
    strips = {row: shown.frames for row, shown in made.items() if len(shown.frames)}
    pictures = {"frames": drawings.contact_sheet(strips)}
    if mels := {row: found["mel"] for row, found in observed.items() if "mel" in found}:
        pictures["mel"] = drawings.mel_pair(mels)
    meshes = {row: found["landmarks"] for row, found in observed.items() if "landmarks" in found}
    if meshes:
        poses = {row: face_points.head_pose(mesh) for row, mesh in meshes.items()}
        pictures["head"] = drawings.traces(poses)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{case.name}-{name}.png")
