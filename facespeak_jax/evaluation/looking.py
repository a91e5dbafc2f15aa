"""Every case looked at, row by row: alone, or first by several processes."""

import functools
import sys
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool

import tqdm

from facespeak_jax.evaluation import sharing
from facespeak_jax.evaluation.experiments.experiment import Table
from facespeak_jax.evaluation.report.columns import judges_of
from facespeak_jax.evaluation.request import Plan, Request
from facespeak_jax.evaluation.run import FAILURES, Run, Seen
from facespeak_jax.evaluation.suites import Case


def each(run: Run, plan: Plan) -> Iterator[tuple[Case, dict[str, Seen]]]:
    """What is seen of each case that can be read, by row, now or earlier; a row that fails is left
    out and noted. With a bar on stderr."""
    rows = _rows(run, plan)
    with _bar(run.cases * len(rows)) as bar:
        for case in run.each_case():
            seen: dict[str, Seen] = {}
            for row in rows:
                found = _look(run, plan, row, case)
                if found is not None:
                    seen[row] = found
                bar.update()
            yield case, seen


def ahead(request: Request, run: Run, plan: Plan, workers: int) -> None:
    """Has processes look at the cases and keep what they see for `each`, as far as they get."""
    rows = len(_rows(run, plan))
    if not rows:
        return
    begin = functools.partial(_beginner, request)
    try:
        with _bar(run.cases * rows) as bar:
            for _ in sharing.share(begin, run.cases, min(workers, run.cases)):
                bar.update(rows)
    except BrokenProcessPool:
        print("A process died, for want of memory perhaps; one goes on alone.", file=sys.stderr)


def _beginner(request: Request) -> sharing.Look:
    """What one of the processes does with the number of a case."""
    plan, size = request.plan()
    run = request.run(plan, request.open(size, 1))
    run.tell = lambda _: None  # `each` meets what fails here, and says so

    def look(number: int) -> None:
        for case in run.each_case([number]):
            for row in _rows(run, plan):
                _look(run, plan, row, case)

    return look


def _rows(run: Run, plan: Plan) -> tuple[str, ...]:
    """What there is to look at; nothing without the judges of a probe."""
    if isinstance(plan, Table):
        return tuple(run.rows)
    return plan.rows if all(judge.available() for judge in run.judges.values()) else ()


def _look(run: Run, plan: Plan, row: str, case: Case) -> Seen | None:
    try:
        if isinstance(plan, Table):
            asked = judges_of(run.rows[row].columns)
            return run.observe(row, case.name, run.take_of(row, case), only=asked)
        return run.kept(row, case.name, functools.partial(plan.look, run, row, case))
    except FAILURES as error:
        run.fail(row, case.name, error)
        return None


def _bar(total: int) -> tqdm.tqdm:
    return tqdm.tqdm(total=total, desc="clips", unit="clip", smoothing=0.05)
