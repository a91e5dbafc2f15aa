"""Checkpoints in `<workdir>/checkpoints/<step>/state`, restored into any mesh or part by part."""

import contextlib
import functools
import operator
import os
from collections.abc import Iterable, Iterator
from typing import Any

import flax.traverse_util
import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as policies

from facespeak_jax import export
from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.training.state import TrainState

CHECKPOINTS, ITEM = "checkpoints", "state"


class BadCheckpoint(FaceSpeakError):
    """A checkpoint is missing, unreadable, or belongs to another model."""


class CannotSave(FaceSpeakError):
    """A checkpoint could not be written; those before it are untouched."""


# What reading and writing damaged or full storage raises: Orbax, TensorStore and the file system.
DAMAGE = (ValueError, OSError, KeyError, TypeError)


class Checkpoints:
    """The checkpoints of one workdir; keeps the latest `keep` and one every `keep_every` steps."""

    def __init__(self, workdir: epath.PathLike, *, keep: int, keep_every: int):
        self.directory = _whole(workdir) / CHECKPOINTS
        kept: list[policies.PreservationPolicy] = [policies.LatestN(keep)]
        if keep_every:
            kept.append(policies.EveryNSteps(keep_every))
        options = ocp.CheckpointManagerOptions(
            preservation_policy=policies.preservation_policy.AnyPreservationPolicy(kept)
        )
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=options,
            item_handlers={ITEM: ocp.StandardCheckpointHandler()},
        )

    @property
    def latest(self) -> int | None:
        """The step of the newest complete checkpoint."""
        return self._manager.latest_step()

    def save(self, state: TrainState, step: int) -> None:
        """Saves in the background; does nothing if `step` is saved already. Raises CannotSave."""
        if step not in self._manager.all_steps():
            arguments = ocp.args.Composite(**{ITEM: ocp.args.StandardSave(state)})
            with self._writing():
                self._manager.save(step, args=arguments, force=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """An error of this save, or of the one before in the background, as CannotSave."""
        try:
            yield
        except (ValueError, OSError) as error:
            whole = [int(path.name) for path in self.directory.iterdir() if path.name.isdigit()]
            newest = f"the newest complete one is step {max(whole)}" if whole else "there is none"
            raise CannotSave(
                f"a checkpoint could not be written to {self.directory} ({_first(error)}); "
                f"{newest}. Make room (or mend the storage) and give the same command again"
            ) from error

    def restore(self, abstract: TrainState, *, older: bool = False) -> TrainState:
        """The newest checkpoint, laid out as `abstract` (with shardings). Raises BadCheckpoint.

        With `older` the newest that can be read; damaged ones are moved to `<workdir>/damaged`.
        """
        if older:
            self._put_damaged_aside()
        step = self.latest
        if step is None:
            raise BadCheckpoint(f"{self.directory} holds no complete checkpoint")
        where = self.directory / str(step)
        try:
            different = _differences(abstract, _described(self._manager, step))
            if not different:
                arguments = ocp.args.Composite(**{ITEM: ocp.args.StandardRestore(abstract)})
                return self._manager.restore(step, args=arguments)[ITEM]
        except DAMAGE as error:
            raise BadCheckpoint(
                f"{where} cannot be read ({_first(error)}); {self._advice(step)}"
            ) from error
        raise BadCheckpoint(
            f"{where} belongs to another model or optimizer; use another workdir, or the "
            "config it was made with. Differences:\n  " + "\n  ".join(different)
        )

    def _advice(self, step: int) -> str:
        before = [other for other in self._manager.all_steps() if other < step]
        if not before:
            return "there is no older one: delete it, or move it away, to begin again"
        return (
            "--config.train.allow_older_checkpoint=True (or to delete it) resumes from step "
            f"{max(before)}"
        )

    def _put_damaged_aside(self) -> None:
        """Moves the newest checkpoints away until one can be read; process 0 does it for all."""
        if jax.process_index() == 0:
            for step in sorted(self._manager.all_steps(), reverse=True):
                try:
                    _read(self.directory.parent, step)
                    break
                except DAMAGE as error:
                    _move_aside(self.directory / str(step), error)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("damaged checkpoints")
        self._manager.reload()

    def close(self) -> None:
        """Waits until everything is on disk. Raises CannotSave."""
        with self._writing(), contextlib.closing(self._manager):
            self._manager.wait_until_finished()


def _first(error: Exception) -> str:
    """The first line of an error, or its kind."""
    return next(iter(str(error).splitlines()), type(error).__name__)


def _move_aside(checkpoint: epath.Path, error: Exception) -> None:
    """Into `<workdir>/damaged`, out of the way of a new one of the same step."""
    aside = checkpoint.parent.parent / "damaged"
    aside.mkdir(parents=True, exist_ok=True)
    names = (f"{checkpoint.name}{suffix}" for suffix in ("", *(f".{n}" for n in range(1, 1000))))
    place = next(aside / name for name in names if not (aside / name).exists())
    logging.warning("%s cannot be read (%s); it is now %s", checkpoint, _first(error), place)
    checkpoint.rename(place)


def _described(manager: ocp.CheckpointManager, step: int) -> Any:
    """What a checkpoint says of its arrays. Raises ValueError if it no longer says anything."""
    found = manager.item_metadata(step)[ITEM]
    if found is None:
        raise ValueError("the description of its arrays is gone")
    return found


def _flat(tree: Any) -> dict[str, tuple[int, ...]]:
    """Path -> shape of every array; containers of different kinds give the same paths."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    name = jax.tree_util.keystr
    return {name(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in leaves}


def _differences(wanted: Any, saved: Any, limit: int = 10) -> list[str]:
    """What a reader must know about two trees that do not agree."""
    ours, theirs = _flat(wanted), _flat(saved)
    lines = [
        f"{name}: {theirs.get(name, 'missing')} in the checkpoint, {ours.get(name, 'missing')} here"
        for name in sorted(ours.keys() | theirs.keys())
        if ours.get(name) != theirs.get(name)
    ]
    return lines[:limit] + [f"and {len(lines) - limit} more"] * (len(lines) > limit)


def model_parts(workdir: epath.PathLike) -> list[str]:
    """The parts that a workdir trains. Raises BadCheckpoint."""
    with _opened(_whole(workdir)) as (manager, step):
        return sorted(_described(manager, step).tree["ema"])


def load_parts(
    path: epath.PathLike, parts: Iterable[str], *, use_ema: bool = True
) -> dict[str, Any]:
    """Parts of another workdir's newest checkpoint, or of a weights directory, as host arrays.

    A part is looked for among the model's (its moving average with `use_ema`), the frozen and the
    critic parts, in this order. Raises BadCheckpoint, or export.BadWeights for a weights directory.
    """
    parts = list(parts)
    root = _whole(path)
    if (root / export.WEIGHTS).exists() and not (root / CHECKPOINTS).exists():
        return export.load(root, parts).params
    with _opened(root) as (manager, step):
        saved = _described(manager, step).tree
        places = _places(saved, use_ema)
        missing = [part for part in parts if part not in places]
        if missing:
            raise BadCheckpoint(
                f"{root} (step {step}) has no {', '.join(missing)}; it has "
                f"{', '.join(sorted(places))}"
            )
        wanted: dict[tuple[str, ...], Any] = {}
        for part in parts:
            wanted[*places[part], part] = _at(saved, (*places[part], part))
        tree = flax.traverse_util.unflatten_dict(wanted)
        restored = manager.restore(step, args=_numpy(tree))[ITEM]
    logging.info("Read %s of %s, step %d", ", ".join(parts), root, step)
    return {part: _at(restored, (*places[part], part)) for part in parts}


def read_whole(path: epath.PathLike) -> int:
    """Reads every array of a workdir's newest checkpoint to see that it can be; returns its step.

    Raises BadCheckpoint if there is none, ValueError or OSError if it is damaged.
    """
    return _read(_whole(path))


def _whole(folder: epath.PathLike) -> epath.Path:
    """The folder from the root on, since Orbax takes no other; an address as gs:// is one."""
    path = epath.Path(folder)
    return path if "://" in os.fspath(path) else path.absolute()


def _read(root: epath.Path, step: int | None = None) -> int:
    """Reads the checkpoint of a step, or the newest; see `read_whole`."""
    with _opened(root) as (manager, newest):
        step = newest if step is None else step
        manager.restore(step, args=_numpy(_described(manager, step).tree))
    return step


@contextlib.contextmanager
def _opened(root: epath.Path) -> Iterator[tuple[ocp.CheckpointManager, int]]:
    """The checkpoints of another workdir, for reading, and the step of the newest."""
    if not (root / CHECKPOINTS).exists():
        raise BadCheckpoint(f"{root} is neither a workdir with checkpoints nor a weights directory")
    options = ocp.CheckpointManagerOptions(read_only=True)
    handlers = {ITEM: ocp.PyTreeCheckpointHandler()}
    directory = root / CHECKPOINTS
    with ocp.CheckpointManager(directory, options=options, item_handlers=handlers) as manager:
        step = manager.latest_step()
        if step is None:
            raise BadCheckpoint(f"{directory} holds no complete checkpoint")
        yield manager, step


def _places(saved: dict[str, Any], use_ema: bool) -> dict[str, tuple[str, ...]]:
    """Part -> where in the checkpoint's tree its parameters are."""
    first = ("ema",) if use_ema else ("params", "model")
    order = (("params", "critic"), ("params", "frozen"), first)
    return {
        part: place
        for place in order
        if place[-1] in _at(saved, place[:-1])
        for part in _at(saved, place)
    }


def _at(tree: dict[str, Any], path: tuple[str, ...]) -> Any:
    return functools.reduce(operator.getitem, path, tree)


def _numpy(wanted: dict[str, Any]) -> ocp.args.Composite:
    """Arguments that read `wanted` alone, as numpy arrays."""
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), wanted)
    kinds = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), abstract)
    arguments = ocp.args.PyTreeRestore(item=abstract, restore_args=kinds, partial_restore=True)
    return ocp.args.Composite(**{ITEM: arguments})
