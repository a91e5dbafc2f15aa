"""The experiments that are the common table of other rows, and that table itself."""

import dataclasses

from facespeak_jax.evaluation.experiments.experiment import Machines, Table
from facespeak_jax.evaluation.report.columns import COLUMNS
from facespeak_jax.evaluation.systems.manner import Manner
from facespeak_jax.evaluation.systems.rows import (
    Codec,
    GroundTruth,
    Ours,
    Seeds,
    Still,
    System,
    Voice,
)
from facespeak_jax.evaluation.systems.twins import TWINS, control_of

STEPS = (1, 2, 4, 10, 20)
MELODY = frozenset({"whisper", "resemblyzer", "dnsmos", "signals"})
PICTURES = frozenset({"mediapipe", "inception", "arcface"})


def everything(machines: Machines) -> Table:
    """The whole table: ours beside the truth, our codec, the twins, and a picture that is still."""
    ours = machines.ours
    spoken = {"ours": ours, **machines.twins}
    return Table(
        question="",
        judges=frozenset(column.judge for column in COLUMNS.values() if column.judge),
        rows={
            "ground_truth": GroundTruth(),
            "codec": Codec(ours),
            **{name: Ours(machine) for name, machine in spoken.items()},
            "still": Still(),
        },
        twins=tuple(TWINS),
        seeds={name: Seeds(machine) for name, machine in spoken.items()},
        against={**_controls(machines), "still": "ours"},
    )


def _controls(machines: Machines) -> dict[str, str]:
    return {name: control_of(name, machines.twins) for name in machines.twins}


def noise_reducer(machines: Machines) -> Table:
    """Codec and twin, with the reducer and without."""
    groups = frozenset({"face", "pictures", "motion"})
    ours = machines.ours
    spoken = {"ours": ours, **machines.twins}
    reduced = ours.in_manner(dataclasses.replace(ours.manner, reduced=True))
    rows: dict[str, System] = {
        "ground_truth": GroundTruth(columns=groups),
        "codec": Codec(ours, groups),
        "codec_reduced": Codec(reduced, groups),
        **{name: Ours(machine, columns=groups - {"pictures"}) for name, machine in spoken.items()},
    }
    return Table(
        "Does the noise reducer calm the head? `codec` draws the motion seen in real frames again, "
        "`codec_reduced` the same through the reducer; `no_reducer` samples motion without one, "
        "`reducer_control` with one, both trained anew for equally long.",
        PICTURES,
        rows,
        ("reducer_control", "no_reducer"),
        seeds={name: Seeds(machine) for name, machine in spoken.items()},
        against={"codec_reduced": "codec", **_controls(machines)},
    )


def mapper(machines: Machines) -> Table:
    """The lip mapper, and twins that hear less."""
    groups = frozenset({"sync"})
    rows: dict[str, System] = {
        "ground_truth": GroundTruth(columns=groups),
        "ours": Ours(machines.ours, columns=groups),
    }
    return Table(
        "What of the text do the lips need? `mapper_control` was trained on for as long as the "
        "twins that hear less.",
        frozenset({"sync", "mediapipe"}),
        rows | {name: Ours(twin, columns=groups) for name, twin in machines.twins.items()},
        ("mapper_control", "no_energy", "no_text"),
        against=_controls(machines),
    )


def solver_steps(machines: Machines) -> Table:
    """Mel and motion by the number of solver steps; none is the regression that flows start at."""
    ours = machines.ours
    rows: dict[str, System] = {"ground_truth": GroundTruth()}
    for steps in (0, *STEPS):
        rows[f"mel_{steps}"] = Voice(ours.in_manner(Manner(mel_steps=steps)))
    for steps in (0, *STEPS):
        rows[f"motion_{steps}"] = Ours(
            ours.in_manner(Manner(motion_steps=steps)), "motion", frozenset({"motion"})
        )
    return Table(
        "What do solver steps buy? `mel_N` and `motion_N` take N midpoint steps for the one and "
        "the product's number for the other; with 0 the mean that the flow starts around is taken, "
        "as regression would. RTF is of that step alone.",
        MELODY | {"mediapipe"},
        rows,
        against={
            f"{part}_{steps}": f"{part}_{STEPS[-1]}"
            for part in ("mel", "motion")
            for steps in (0, *STEPS[:-1])
        },
    )
