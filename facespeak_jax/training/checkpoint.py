"""Checkpoints in `<workdir>/checkpoints/<step>/state`, restored into any mesh or part by part."""

from collections.abc import Iterable
from typing import Any

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
        kept = [policies.LatestN(keep)]
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
        where = self.directory / str(step)
        different = _differences(abstract, self._manager.item_metadata(step)[ITEM])
        if different:
            raise BadCheckpoint(
                f"{where} belongs to another model or optimizer; use another workdir, or the "
                "config it was made with. Differences:\n  " + "\n  ".join(different)
            )
        arguments = ocp.args.Composite(**{ITEM: ocp.args.StandardRestore(abstract)})
        try:
            return self._manager.restore(step, args=arguments)[ITEM]
        except (ValueError, OSError, KeyError) as error:
            raise BadCheckpoint(
                f"{where} cannot be read ({error}); delete it to resume from an earlier one"
            ) from error

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


def load_parts(
    path: epath.PathLike, parts: Iterable[str], *, use_ema: bool = True
) -> dict[str, Any]:
    """Parts of another workdir's newest checkpoint, or of a weights directory, as host arrays.

    A part is looked for among the model's (its moving average with `use_ema`), the frozen and the
    critic parts, in this order. Raises BadCheckpoint, or export.BadWeights for a weights directory.
    """
    parts = list(parts)
    root = epath.Path(path)
    if (root / export.CONFIG).exists() and (root / export.WEIGHTS).exists():
        return export.load(root, parts).params
    if not (root / "checkpoints").exists():
        raise BadCheckpoint(f"{root} is neither a workdir with checkpoints nor a weights directory")
    with ocp.CheckpointManager(
        root / "checkpoints",
        options=ocp.CheckpointManagerOptions(read_only=True),
        item_handlers={ITEM: ocp.PyTreeCheckpointHandler()},
    ) as manager:
        step = manager.latest_step()
        if step is None:
            raise BadCheckpoint(f"{root}/checkpoints holds no complete checkpoint")
        saved = manager.item_metadata(step)[ITEM].tree
        groups = {
            "model": saved["ema"] if use_ema else saved["params"]["model"],
            "frozen": saved["params"].get("frozen", {}),
            "critic": saved["params"].get("critic", {}),
        }
        owner = {part: next((g for g in groups if part in groups[g]), None) for part in parts}
        missing = [part for part in parts if owner[part] is None]
        if missing:
            found = sorted(part for group in groups.values() for part in group)
            raise BadCheckpoint(
                f"{root} (step {step}) has no {', '.join(missing)}; it has {', '.join(found)}"
            )
        wanted = _subset(owner, groups, use_ema)
        restored = manager.restore(step, args=_partial(wanted))[ITEM]
    logging.info("Read %s of %s, step %d", ", ".join(parts), root, step)
    ema = restored.get("ema", {})
    stored = restored.get("params", {})
    return {p: ema[p] if p in ema else stored[owner[p]][p] for p in parts}


def _subset(owner: dict[str, str], groups: dict[str, Any], use_ema: bool) -> dict[str, Any]:
    """The piece of the checkpoint's tree that holds the wanted parts."""
    wanted: dict[str, Any] = {}
    for part, group in owner.items():
        if group == "model" and use_ema:
            wanted.setdefault("ema", {})[part] = groups[group][part]
        else:
            wanted.setdefault("params", {}).setdefault(group, {})[part] = groups[group][part]
    return wanted


def _partial(wanted: dict[str, Any]) -> ocp.args.Composite:
    """Arguments that read `wanted` alone, as numpy arrays."""
    abstract = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), wanted)
    kinds = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), abstract)
    arguments = ocp.args.PyTreeRestore(item=abstract, restore_args=kinds, partial_restore=True)
    return ocp.args.Composite(**{ITEM: arguments})
