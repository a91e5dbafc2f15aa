"""The twins: weights that lack one thing, how each has to be run, and how to get one."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from facespeak_jax import export
from facespeak_jax.evaluation.systems.manner import Manner
from facespeak_jax.motion import hearing

# A directory of each twin of the shipped weights that ships with them.
SHIPPED = Path(__file__).parent / "shipped"


@dataclass(frozen=True)
class Twin:
    """`what` sets it apart from ours; `manner` is how its weights are run; `control` is the twin
    that differs from it by nothing else, or else ours."""

    what: str
    manner: Manner = field(default_factory=Manner)
    control: str = "ours"


TWINS = {
    "cascade": Twin(
        "lips from the finished mel alone, head motion without the text",
        Manner(lips_hear=hearing.SOUND, head_hears=False),
    ),
    "with_motion": Twin(
        "a voice from all of f, motion included", Manner(voice_of="style"), "voice_control"
    ),
    "voice_control": Twin("a voice trained on for as long as that of with_motion"),
    "no_reducer": Twin("no noise reducer", control="reducer_control"),
    "reducer_control": Twin("a noise reducer and a sampler trained anew, as no_reducer is"),
    "no_energy": Twin(
        "a lip mapper without energy", Manner(lips_hear=("text", "prior")), "mapper_control"
    ),
    "no_text": Twin(
        "a lip mapper without energy and upsampled text",
        Manner(lips_hear=("prior",)),
        "mapper_control",
    ),
    "mapper_control": Twin("a lip mapper trained on for as long as those that hear less"),
}


def manner_of(name: str) -> Manner:
    """How the weights of a row are run: as ours, unless the row is one of TWINS."""
    return TWINS[name].manner if name in TWINS else Manner()


def control_of(name: str, rows: Collection[str]) -> str:
    """Which of the rows a further row is to be compared with: its control if that is there."""
    control = TWINS[name].control if name in TWINS else "ours"
    return control if control in rows else "ours"


def advice(name: str) -> str:
    """How to get the weights of a twin."""
    ships = f", or give --row {name} for that of the shipped weights" if shipped(name) else ""
    return (
        f"{TWINS[name].what}; no weights were given: train configs/twins.py:{name}, merge it into "
        f"DIR, give --row {name}=DIR{ships}"
    )


def shipped(name: str) -> Path | None:
    """The weights directory of a twin that ships."""
    found = SHIPPED / name
    return found if name in TWINS and found.is_dir() else None


def overlaid(ours: export.Weights, twin: export.Weights) -> export.Weights:
    """A twin's parts, and ours where it has none."""
    model = {**ours.config["model"], **twin.config["model"]}
    return export.Weights({**ours.params, **twin.params}, {**ours.config, "model": model})
