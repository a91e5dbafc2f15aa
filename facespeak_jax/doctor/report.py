"""Every check of the doctor, one after the other.

Those of checkpoints and data need the `train` extra and say so where it is missing.
"""

from collections.abc import Callable, Iterator

from facespeak_jax.doctor import files, machine
from facespeak_jax.doctor.finding import Finding
from facespeak_jax.errors import FaceSpeakError


class NotReady(FaceSpeakError):
    """At least one check failed; the lines before say which and what to do."""


def report(
    *,
    workdir: str | None,
    data: list[str],
    weights: str,
    show: Callable[[str], object] = print,
) -> str:
    """Runs every check, shows its lines as they come, and returns the last one.

    Args:
      workdir: of a training, local or gs://, or None.
      data: directories of clips.
      weights: a weights directory.
      show: what is done with a line.

    Raises:
      NotReady: something failed.
    """
    levels = []
    for finding in diagnose(workdir, data, weights):
        levels.append(finding.level)
        show(str(finding))
    summary = f"{len(levels)} checks, {levels.count('warn')} warnings"
    if failed := levels.count("fail"):
        raise NotReady(f"{failed} of {summary.replace(',', ' failed,')}; see the lines above")
    return summary


def diagnose(workdir: str | None, data: list[str], weights: str) -> Iterator[Finding]:
    """Every finding, the cheapest checks first."""
    yield from machine.versions()
    yield machine.room(workdir)
    yield machine.memory()
    yield machine.encoder()
    yield from machine.devices()
    yield machine.compile_cache()
    yield from files.weights(weights)
    for directory in data:
        yield from files.clips(directory)
    if workdir is not None:
        yield files.writable("workdir", workdir, "fail")
        yield files.last_checkpoint(workdir)
