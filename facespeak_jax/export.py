"""A weights directory: `weights.safetensors`, `config.json`, `SHA256SUMS`; nothing is unpickled.

`facespeak_jax.training.merge` makes one of what the stages trained.
"""

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import flax.errors
import flax.traverse_util
import ml_collections
import numpy as np
import safetensors
import safetensors.numpy
from etils import epath

from facespeak_jax.errors import FaceSpeakError

WEIGHTS, CONFIG, SUMS = "weights.safetensors", "config.json", "SHA256SUMS"


class BadWeights(FaceSpeakError):
    """A weights directory is incomplete, damaged, or made for another model."""


@dataclasses.dataclass(frozen=True)
class Weights:
    """params: part -> nested dict of float32 arrays; config: {"model": …, "symbols": [...], …}."""

    params: dict[str, Any]
    config: dict[str, Any]

    @property
    def model(self) -> ml_collections.ConfigDict:
        """The constructor arguments of every part."""
        return ml_collections.ConfigDict(self.config["model"])


def save(directory: epath.PathLike, params: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Writes a weights directory; floating-point arrays are stored as float16.

    params: part -> nested dict of arrays; config: JSON-able, with at least "model" and "symbols".
    Raises BadWeights if a number does not fit float16.
    """
    root = epath.Path(directory)
    root.mkdir(parents=True, exist_ok=True)
    flat = flax.traverse_util.flatten_dict(dict(params), sep="/")
    tensors = {name: _half(name, np.asarray(flat[name])) for name in sorted(flat)}
    files = {
        WEIGHTS: safetensors.numpy.save(tensors),
        CONFIG: (json.dumps(config, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode(),
    }
    for name, content in files.items():
        (root / name).write_bytes(content)
    sums = [f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)]
    (root / SUMS).write_text("".join(sums))


def _half(name: str, array: np.ndarray) -> np.ndarray:
    if not np.issubdtype(array.dtype, np.floating):
        return array
    if not np.isfinite(array).all() or np.abs(array).max(initial=0) > np.finfo(np.float16).max:
        raise BadWeights(f"{name} holds numbers that float16 cannot store; the training diverged")
    return array.astype(np.float16)


def load(directory: epath.PathLike, parts: Iterable[str] | None = None) -> Weights:
    """Reads and checks a weights directory; all parts, or those named. Raises BadWeights."""
    root = epath.Path(directory)
    content = _checked(root)
    try:
        config = json.loads(content[CONFIG])
        flat = safetensors.numpy.load(content[WEIGHTS])
    except (ValueError, KeyError, safetensors.SafetensorError) as error:
        raise BadWeights(f"{root} cannot be read: {error}") from error
    for key in ("model", "symbols"):
        if key not in config:
            raise BadWeights(f"{root / CONFIG} has no {key!r}")
    full = {
        name: array.astype(np.float32) if array.dtype == np.float16 else array
        for name, array in flat.items()
    }
    params = flax.traverse_util.unflatten_dict(full, sep="/")
    wanted = list(params) if parts is None else list(parts)
    missing = [part for part in wanted if part not in params]
    if missing:
        raise BadWeights(f"{root} has no {', '.join(missing)}; it has {', '.join(sorted(params))}")
    return Weights({part: params[part] for part in wanted}, config)


def _checked(root: epath.Path) -> dict[str, bytes]:
    """The files of a weights directory, each equal to its SHA-256."""
    for name in (SUMS, CONFIG, WEIGHTS):
        if not (root / name).exists():
            raise BadWeights(f"{root} is no weights directory: {name} is missing")
    lines = [line.split(maxsplit=1) for line in (root / SUMS).read_text().splitlines()]
    sums = {name: digest for digest, name in lines}
    content = {}
    for name in (CONFIG, WEIGHTS):
        content[name] = (root / name).read_bytes()
        if hashlib.sha256(content[name]).hexdigest() != sums.get(name):
            raise BadWeights(f"{root / name} does not match {SUMS}: damaged; fetch it again")
    return content


def fitting(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, which raises BadWeights where the model looks for parameters in vain: weights
    of another version of a part, which their config alone does not tell."""

    @functools.wraps(function)
    def called(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except (
            flax.errors.ScopeParamNotFoundError,
            flax.errors.ScopeParamShapeError,
            flax.errors.ScopeCollectionNotFound,
        ) as error:
            raise BadWeights(
                f"These weights are for another model ({str(error).split(' (https')[0]}); use the "
                "version of facespeak_jax they belong to."
            ) from error

    return called


def check_shapes(params: Mapping[str, Any], expected: Mapping[str, Any], name: str) -> None:
    """Raises BadWeights, with the differences, unless both trees have the same arrays."""
    ours = flax.traverse_util.flatten_dict(dict(expected), sep="/")
    theirs = flax.traverse_util.flatten_dict(dict(params), sep="/")
    shapes = [
        (
            key,
            getattr(theirs.get(key), "shape", "missing"),
            getattr(ours.get(key), "shape", "missing"),
        )
        for key in sorted(ours.keys() | theirs.keys())
    ]
    lines = [
        f"{key}: {got} in {name}, {want} in the model" for key, got, want in shapes if got != want
    ]
    if lines:
        shown = lines[:10] + [f"and {len(lines) - 10} more"] * (len(lines) > 10)
        raise BadWeights(f"{name} is for another model:\n  " + "\n  ".join(shown))
