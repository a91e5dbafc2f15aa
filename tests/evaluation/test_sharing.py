import functools
import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from facespeak_jax.evaluation import sharing


def _begin(folder):
    """Notes each process with its cores, and each case with its process."""
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    (folder / f"process-{os.getpid()}").write_text(repr(mine))

    def look(case):
        with (folder / f"case-{case}").open("a") as file:
            file.write(f"{os.getpid()} ")

    return look


def _refuse(_):
    raise ValueError("no such case")


def _refusing():
    return _refuse


def _die(_):
    os._exit(1)


def _dying():
    return _die


def test_every_case_is_looked_at_once_by_processes_with_cores_of_their_own(tmp_path):
    seen = list(sharing.share(functools.partial(_begin, tmp_path), 7, 2))
    assert sorted(seen) == list(range(7))
    workers = [path.read_text() for path in tmp_path.glob("process-*")]
    assert 1 <= len(workers) <= 2
    if len(workers) == 2 and hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) > 1:
        assert workers[0] != workers[1]
    for case in range(7):
        assert len((tmp_path / f"case-{case}").read_text().split()) == 1


def test_what_a_look_raises_is_raised():
    with pytest.raises(ValueError, match="no such case"):
        list(sharing.share(_refusing, 2, 1))


def test_a_process_that_dies_is_told():
    with pytest.raises(BrokenProcessPool):
        list(sharing.share(_dying, 2, 1))
