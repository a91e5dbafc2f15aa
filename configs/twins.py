"""Twins of the lite model: each lacks one thing, so that its worth can be measured.

python -m facespeak_jax.main --config configs/twins.py:no_energy --workdir W/no_energy \\
  --config.data.paths='("DIR",)' --config.upstream.encoder=weights …

Every twin goes on from the weights named upstream and trains the part in question alone, for as
many steps as its control. `python -m facespeak_jax.training.merge --workdirs W/no_energy --out DIR`
makes of it what `facespeak evaluate --row no_energy=DIR` takes; other parts come from the weights
that are evaluated.
"""

from typing import Any

from ml_collections import ConfigDict

from configs import lite

STEPS = 4000
HEAD = {"reducer": 16, "motion_prior": 16, "motion_field": 16}  # codes as wide as alpha_head
HEAD_ALONE = {"lip": 0.0, "lip_change": 0.0}


def _mapper(*hears: str) -> dict[str, Any]:
    """The lip mapper alone, which hears less."""
    loss = {"ae": 0.0, "prior": 0.0, "cfm": 0.0, "lips_hear": hears}
    return {"loss": loss, "train": {"steps": STEPS}}


def _voice(of: str) -> dict[str, Any]:
    """A voice read off the face and said as it is read, by what of the face it is read off."""
    return {"loss": {"voice_of": of, "told": 0.0, "guess": 1.0}, "train": {"steps": STEPS}}


TWINS: dict[str, tuple[str, dict[str, Any]]] = {
    # The stage, and what changes in its lite config.
    "mapper_control": ("motion", _mapper("text", "prior", "energy")),
    "no_energy": ("motion", _mapper("text", "prior")),
    "no_text": ("motion", _mapper("prior")),
    "cascade": (
        "motion",
        {
            "loss": {
                "ae": 0.0,
                "reducer_steps": 0,
                "predicted_energy": 0.0,  # the text's, which a cascade has not
                "lips_hear": ("mel", "energy"),
                "head_hears": False,
            },
            "train": {"steps": STEPS},
        },
    ),
    # A code of another width has nothing to go on from. So both begin anew, without reducer, prior
    # and field upstream, and take as many steps as the motion stage itself.
    "reducer_control": ("motion", {"loss": HEAD_ALONE}),
    "no_reducer": (
        "motion",
        {
            "model": {
                part: {"latent": width, **({"plain": True} if part == "reducer" else {})}
                for part, width in HEAD.items()
            },
            "loss": HEAD_ALONE,
        },
    ),
    "voice_control": ("speech", _voice("identity")),
    "with_motion": ("speech", _voice("style")),
}


def get_config(name: str = "no_energy") -> ConfigDict:
    """The training of a twin. Raises KeyError for a name that is not in TWINS."""
    stage, changes = TWINS[name]
    config = lite.get_config(stage)
    with config.unlocked():
        config.update(ConfigDict(changes))
    return config
