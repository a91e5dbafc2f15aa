"""What is on disk or in a bucket: a workdir and its checkpoint, data, weights."""

import os
from collections.abc import Iterator
from pathlib import Path

from etils import epath

from facespeak_jax import export, sampling
from facespeak_jax.doctor.finding import Finding, Level, first_line, install
from facespeak_jax.errors import FaceSpeakError


def writable(subject: str, directory: str, level: Level) -> Finding:
    """Writes and removes a small file in a directory, local or gs://, or where it would be made."""
    try:
        path = epath.Path(directory)
        place = path if "://" in directory else epath.Path(existing(Path(directory)))
        probe = place / f".doctor-{os.getpid()}"
        probe.write_text("")
        probe.unlink()
    except ImportError as error:
        state = f"{directory} cannot be reached without {error.name or 'gcsfs'}"
        return Finding(level, subject, state, "run pip install gcsfs")
    except (OSError, RuntimeError, ValueError) as error:
        return Finding(level, subject, first_line(error), "use a directory that can be written")
    return Finding("ok", subject, f"{directory} can be written")


def existing(path: Path) -> Path:
    """The path itself, or the nearest directory above it that exists."""
    return next(place for place in (path, *path.absolute().parents) if place.exists())


def last_checkpoint(workdir: str) -> Finding:
    """Reads the newest checkpoint, and looks for unfinished ones."""
    directory = epath.Path(workdir) / "checkpoints"
    subject, newest = "checkpoint", directory
    try:
        if not directory.exists():
            return Finding("ok", subject, "none yet; the training begins at step 0")
        from facespeak_jax.training import checkpoint

        names = [path.name for path in directory.iterdir()]
        steps = sorted(int(name) for name in names if name.isdigit())
        unfinished = sorted(name for name in names if not name.isdigit())
        if steps:
            newest = directory / str(steps[-1])
            checkpoint.read_whole(workdir)
    except ImportError as error:
        return Finding("warn", subject, f"not checked without {error.name}", install("train"))
    except (FaceSpeakError, OSError, ValueError, KeyError, TypeError) as error:
        advice = "delete it to resume from an earlier one, or set train.allow_older_checkpoint"
        return Finding("fail", subject, f"{newest} cannot be read ({first_line(error)})", advice)
    state = f"step {steps[-1]} is complete" if steps else "none is complete"
    if unfinished:
        state += f"; unfinished, and left alone: {', '.join(unfinished)}"
        return Finding("warn", subject, state)
    return Finding("ok", subject, state)


def clips(directory: str) -> Iterator[Finding]:
    """The clips of every split; the first and the last of each are read."""
    try:
        from facespeak_jax.data import records
    except ImportError as error:
        yield Finding(
            "warn", "data", f"{directory} not checked without {error.name}", install("train")
        )
        return
    for split in records.SPLITS:
        try:
            found = records.open_split(directory, split)
            for position in {0, len(found) - 1} if len(found) else ():
                found[position]
        except (FaceSpeakError, OSError, RuntimeError, ValueError, KeyError) as error:
            advice = "" if isinstance(error, records.NoSuchData) else "prepare or copy it again"
            yield Finding("fail", "data", first_line(error), advice)
            if isinstance(error, records.NoSuchData):
                return
            continue
        state = f"{found.name} has {len(found)} clips of {len(found.speakers)} people"
        yield Finding("ok" if len(found) else "fail", "data", state)


def weights(directory: str) -> Iterator[Finding]:
    """The weights against their SHA-256, and what they are good for."""
    try:
        parts = export.load(directory).params
    except (FaceSpeakError, OSError, ImportError) as error:
        yield Finding("fail", "weights", first_line(error), "fetch or export them again")
        return
    needed = {
        "reenact": sampling.FACE,
        "speak": (*sampling.FACE, *sampling.SPEECH, *sampling.MOTION),
    }
    for request, names in needed.items():
        if missing := [name for name in names if name not in parts]:
            state = f"{directory} can't {request} without {', '.join(missing)}"
            yield Finding("warn", "weights", state, "train these parts and merge them")
        else:
            yield Finding("ok", "weights", f"{directory} can {request}; checksums agree")
