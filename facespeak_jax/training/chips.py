"""The TPU chips: what each can do at most, and whether one should be in this machine.

The figures are the peaks of one chip that Google publishes under
https://cloud.google.com/tpu/docs/v4, v5e, v5p, v6e and tpu7x. Compute is bfloat16; bandwidth
between chips (ICI) counts all links of a chip in both directions.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax

from facespeak_jax.errors import FaceSpeakError


class NoTPU(FaceSpeakError):
    """A TPU is expected but jax does not find it."""


class Chip(NamedTuple):
    """Peaks of one chip, and by what jax knows it."""

    kind: str  # jax's device_kind
    devices: int  # of jax on one chip
    tflops: float  # 10¹² bfloat16 operations a second
    hbm_gb: float
    hbm_gb_s: float
    ici_gb_s: float


CHIPS = {
    "v4": Chip("TPU v4", 1, 275, 32, 1228, 600),
    "v5e": Chip("TPU v5 lite", 1, 197, 16, 819, 400),
    "v5p": Chip("TPU v5", 1, 459, 95, 2765, 1200),
    "v6e": Chip("TPU v6 lite", 1, 918, 32, 1638, 800),
    "tpu7x": Chip("TPU7x", 2, 2307, 192, 7380, 1200),
}


def of(kind: str) -> Chip | None:
    """The chip behind jax's `device_kind`; None if the table has no such chip."""
    return next((chip for chip in CHIPS.values() if chip.kind == kind), None)


GOOGLE = "0x1ae0"  # the vendor's number on the PCI bus; the devices are v3 to tpu7x
ON_THE_BUS = frozenset({"0x0027", "0x0056", "0x005e", "0x0062", "0x0063", "0x006f", "0x0076"})
BUS = Path("/sys/bus/pci/devices")


def expected(environment: Mapping[str, str]) -> str:
    """Why a TPU should be here; empty if nothing says so, or if JAX_PLATFORMS leaves it out."""
    platforms = environment.get("JAX_PLATFORMS", "")
    if platforms:
        return "JAX_PLATFORMS names it" if "tpu" in platforms else ""
    for name in ("TPU_ACCELERATOR_TYPE", "TPU_WORKER_HOSTNAMES"):
        if environment.get(name):
            return f"{name} is set"
    if Path("/dev/accel0").exists():
        return "this machine has /dev/accel0"
    return "one is on this machine's PCI bus" if any(map(_is_tpu, BUS.glob("*"))) else ""


def _is_tpu(device: Path) -> bool:
    try:
        vendor, number = ((device / name).read_text().strip() for name in ("vendor", "device"))
    except OSError:
        return False
    return vendor == GOOGLE and number in ON_THE_BUS


def require(environment: Mapping[str, str]) -> None:
    """Raises NoTPU where a TPU is expected but jax would compute on a CPU."""
    chosen = jax.config.values["jax_platforms"]
    reason = expected({**environment, "JAX_PLATFORMS": chosen} if chosen else environment)
    if not reason:
        return
    advice = (
        "end the process that holds the TPU, or run pip install 'jax[tpu]'; to train on the CPU, "
        "say JAX_PLATFORMS=cpu"
    )
    try:
        platform = jax.default_backend()
    except RuntimeError as error:
        what = next(iter(str(error).splitlines()), "")
        raise NoTPU(
            f"a TPU is expected ({reason}) but cannot be used ({what}); {advice}"
        ) from error
    if platform == "cpu":
        raise NoTPU(f"a TPU is expected ({reason}) but jax sees only a CPU; {advice}")
