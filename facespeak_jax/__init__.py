"""One portrait and one text in; a talking-face video with a matching voice out."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from facespeak_jax.pipeline import Clip, FaceSpeaker, load

__all__ = ["Clip", "FaceSpeaker", "load"]


def __getattr__(name: str) -> Any:
    # Whoever needs only a part, such as a process that prepares data, doesn't wait for the rest.
    if name in __all__:
        return getattr(importlib.import_module("facespeak_jax.pipeline"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
