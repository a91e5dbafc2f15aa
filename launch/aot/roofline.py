"""The least time a program can take on a chip, and what sets it."""

import dataclasses

from facespeak_jax.training.chips import Chip


@dataclasses.dataclass(frozen=True)
class Roofline:
    """Seconds of each resource alone; the step takes as long as the slowest at least."""

    compute: float
    hbm: float
    ici: float
    mfu: float  # the share of the chip's peak that the useful work can reach at most

    @property
    def seconds(self) -> float:
        """Of the whole program, if everything overlaps."""
        return max(self.compute, self.hbm, self.ici)

    @property
    def binds(self) -> str:
        """What sets the time."""
        times = {"compute": self.compute, "HBM": self.hbm, "ICI": self.ici}
        return max(times, key=lambda name: times[name])


def bound(chip: Chip, *, flops: float, useful: float, moved: float, sent: float) -> Roofline:
    """The roofline of a program on one device of a chip.

    Args:
      flops: operations the device does, in bfloat16.
      useful: those among them that the model needs.
      moved: bytes between the device and its HBM.
      sent: bytes it sends to others. A link sends and receives at once, so half of the published
        figure counts, of all links together: no exchange can be faster.
    """
    peak = 1e12 * chip.tflops / chip.devices
    compute = max(flops, useful) / peak
    hbm = moved / (1e9 * chip.hbm_gb_s / chip.devices)
    ici = sent / (0.5e9 * chip.ici_gb_s / chip.devices)
    slowest = max(compute, hbm, ici)
    return Roofline(compute, hbm, ici, useful / (peak * slowest) if slowest else 0.0)
