"""How fast trained weights speak: `python -m facespeak_jax.evaluation.speed`.

Prints, after a run that compiles everything, the seconds of compute for each second of output, part
by part, and the peak memory of the process.
"""

import argparse
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from facespeak_jax import export, pipeline, sampling
from facespeak_jax.errors import FaceSpeakError
from facespeak_jax.evaluation.systems import random_weights
from facespeak_jax.evaluation.systems.machine import Machine
from facespeak_jax.face import portrait
from facespeak_jax.rates import FPS, SAMPLE_RATE

TEXT = "The quick brown fox jumps over the lazy dog while nobody on the farm is looking."
STILL_FRAMES = 100  # drawn where no speech says how many
STEPS = {
    "find face": "face found and cut out",
    "see": "face encoding",
    "text": "text to phonemes",
    "durations": "text encoder and durations",
    "mel": "mel",
    "vocoder": "vocoder",
    "motion": "head motion",
    "lips": "lips",
    "render": "frames",
}


class Speed(NamedTuple):
    """steps: seconds of compute per second of output in each run, by step; output in seconds."""

    steps: dict[str, list[float]]
    output: float
    missing: tuple[str, ...]
    memory: float  # gigabytes at the peak

    @property
    def totals(self) -> list[float]:
        """Of each run, all steps together."""
        return [sum(run) for run in zip(*self.steps.values(), strict=True)]


def measure(weights: export.Weights, source: portrait.ImageSource, text: str, runs: int) -> Speed:
    """Runs what the weights have parts for, once to compile and `runs` times to measure.

    Raises WeightsIncomplete without face parts, and the errors of portrait and text.
    """
    machine = Machine(weights)
    machine.require(sampling.FACE)
    speech, motion = (not machine.missing(parts) for parts in (sampling.SPEECH, sampling.MOTION))
    taken: list[dict[str, float]] = []
    seconds = 0.0
    for run in range(runs + 1):
        seconds = _once(machine, source, text, speech=speech, motion=speech and motion)
        if run:
            taken.append(machine.clock)
    steps = {step: [run[step] / seconds for run in taken] for step in STEPS if step in taken[0]}
    missing = machine.missing((*sampling.SPEECH, *sampling.MOTION))
    # Linux counts kilobytes, macOS bytes.
    unit = 1e9 if sys.platform == "darwin" else 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return Speed(steps, seconds, tuple(missing), peak)


def _once(
    machine: Machine, source: portrait.ImageSource, text: str, *, speech: bool, motion: bool
) -> float:
    """One clip, as far as the parts go; returns its seconds. `machine.clock` has the times."""
    machine.reset()
    start = time.perf_counter()
    crop = portrait.align(source, size=machine.size).crop
    machine.clock["find face"] = time.perf_counter() - start
    face = machine.see(crop)
    frames = STILL_FRAMES
    alphas = None
    if speech:
        reading = machine.read(face, machine.text(text))
        spoken = machine.say(reading, seed=0)
        frames = int(spoken.frames[0])
        alphas = machine.move(face, spoken, seed=0) if motion else None
    if alphas is None:
        head, lip = (np.asarray(alpha) for alpha in (face.alpha_head, face.alpha_lip))
        alphas = np.repeat(head, frames, axis=0), np.repeat(lip, frames, axis=0)
    machine.draw(face, alphas)
    return frames / FPS


def table(speed: Speed, size: int) -> str:
    """The measurement as Markdown: medians, with the range over the runs in brackets."""
    lines = [
        f"{speed.output:.1f} s of output at {size} px and {SAMPLE_RATE} Hz; "
        f"{len(speed.totals)} runs after warm-up",
        "",
        "| part | seconds of compute per second of output |",
        "|---|---|",
    ]
    rows = [*((STEPS[step], runs) for step, runs in speed.steps.items()), ("total", speed.totals)]
    for name, runs in rows:
        spread = f"{min(runs):.3f} – {max(runs):.3f}"
        lines.append(f"| {name} | {statistics.median(runs):.3f} ({spread}) |")
    lines += ["", f"peak memory {speed.memory:.2f} GB"]
    if speed.missing:
        lines.append(f"not measured, since the weights lack them: {', '.join(speed.missing)}")
    return "\n".join(lines)


def astronaut() -> UInt8[np.ndarray, "h w 3"]:
    """A portrait that every installation has (NASA, public domain)."""
    from skimage import data  # slow to import, and only wanted where no portrait is given

    return np.asarray(data.astronaut())


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 1 and one line on stderr for an error a user can act on."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--weights", default=str(pipeline.WEIGHTS), metavar="DIR")
    parser.add_argument(
        "--config", metavar="FILE:STAGE", help="random weights of a size instead of --weights"
    )
    parser.add_argument("--portrait", metavar="PICTURE", help="an astronaut by default")
    parser.add_argument("--text", default=TEXT)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args(arguments)
    try:
        config = options.config
        weights = random_weights.of_config(config) if config else export.load(options.weights)
        source = options.portrait or astronaut()
        speed = measure(weights, source, options.text, options.runs)
    except FaceSpeakError as error:
        print(f"facespeak: {error}", file=sys.stderr)
        return 1
    print(table(speed, weights.config["model"]["size"]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
