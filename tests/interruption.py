"""Asking a training run to stop, as a machine that is about to be taken away does."""

import os
import signal

import pytest

from facespeak_jax.training import loop


def after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sends this process SIGTERM when a run has done `step` steps, until the patch is undone."""
    hooks = loop._Run.hooks

    def terminate(done: int) -> None:
        if done == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(loop._Run, "hooks", lambda run: [*hooks(run), terminate])
