"""Checkpoints in `<workdir>/checkpoints/<step>/state`, restored into any mesh or part by part."""

import contextlib
import functools
import operator
from collections.abc import Iterable, Iterator
from typing import Any

import flax.traverse_util
import jax
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from etils import epath
from orbax.checkpoint import checkpoint_managers as policies

from facespeak_jax import export
from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.training.state import TrainState

ITEM = "state"


class BadCheckpoint(FaceSpeakError):
    """A checkpoint is missing, unreadable, or belongs to another model."""


class Checkpoints:
    """The checkpoints of one workdir; keeps the latest `keep` and one every `keep_every` steps."""

    def __init__(self, workdir: epath.PathLike, *, keep: int, keep_every: int):
        self.directory = epath.Path(workdir) / "checkpoints"
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
        """Saves in the background; does nothing if `step` is saved already."""
        if step not in self._manager.all_steps():
            arguments = ocp.args.Composite(**{ITEM: ocp.args.StandardSave(state)})
            self._manager.save(step, args=arguments, force=True)

    def restore(self, abstract: TrainState) -> TrainState:
        """The newest checkpoint, laid out as `abstract` (with shardings). Raises BadCheckpoint."""
        step = self.latest
        if step is None:
            raise BadCheckpoint(f"{self.directory} holds no complete checkpoint")
        where = self.directory / str(step)
        try:
            different = _differences(abstract, self._manager.item_metadata(step)[ITEM])
            if not different:
                arguments = ocp.args.Composite(**{ITEM: ocp.args.StandardRestore(abstract)})
                return self._manager.restore(step, args=arguments)[ITEM]
        except (ValueError, OSError, KeyError) as error:
            raise BadCheckpoint(
                f"{where} cannot be read ({error}); delete it to resume from an earlier one"
            ) from error
        raise BadCheckpoint(
            f"{where} belongs to another model or optimizer; use another workdir, or the "
            "config it was made with. Differences:\n  " + "\n  ".join(different)
        )

    def close(self) -> None:
        """Waits until everything is on disk."""
        self._manager.wait_until_finished()
        self._manager.close()


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
    with _opened(epath.Path(workdir)) as (manager, step):
        return sorted(manager.item_metadata(step)[ITEM].tree["ema"])


def load_parts(
    path: epath.PathLike, parts: Iterable[str], *, use_ema: bool = True
) -> dict[str, Any]:
    """Parts of another workdir's newest checkpoint, or of a weights directory, as host arrays.

    A part is looked for among the model's (its moving average with `use_ema`), the frozen and the
    critic parts, in this order. Raises BadCheckpoint, or export.BadWeights for a weights directory.
    """
    parts = list(parts)
    root = epath.Path(path)
    if (root / export.WEIGHTS).exists():
        return export.load(root, parts).params
    with _opened(root) as (manager, step):
        saved = manager.item_metadata(step)[ITEM].tree
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
    with _opened(epath.Path(path)) as (manager, step):
        manager.restore(step, args=_numpy(manager.item_metadata(step)[ITEM].tree))
    return step


@contextlib.contextmanager
def _opened(root: epath.Path) -> Iterator[tuple[ocp.CheckpointManager, int]]:
    """The checkpoints of another workdir, for reading, and the step of the newest."""
    if not (root / "checkpoints").exists():
        raise BadCheckpoint(f"{root} is neither a workdir with checkpoints nor a weights directory")
    options = ocp.CheckpointManagerOptions(read_only=True)
    handlers = {ITEM: ocp.PyTreeCheckpointHandler()}
    directory = root / "checkpoints"
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
