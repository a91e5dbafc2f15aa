"""One line of the doctor: what was looked at, how it is, what to do, and how such lines look."""

from typing import Literal, NamedTuple

Level = Literal["ok", "warn", "fail"]


class Finding(NamedTuple):
    """What was looked at, how it is, and what to do unless it is well."""

    level: Level
    subject: str
    state: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.level:<4}  {self.subject}: {self.state}{advice}"


def first_line(error: Exception) -> str:
    """The first line of an error, or its kind."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"run pip install 'facespeak_jax[{extra}]'"
