"""What the machine has: versions, room, memory, an encoder, devices, hosts, a compile cache."""

import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import av
import jax
import numpy as np

from facespeak_jax import video
from facespeak_jax.doctor import files
from facespeak_jax.doctor.finding import Finding, first_line, install
from facespeak_jax.training import chips

PACKAGE = "facespeak_jax"
GIGABYTE = 1e9
LITTLE_DISK, LITTLE_MEMORY = 5 * GIGABYTE, 4 * GIGABYTE  # below these a warning


def versions() -> Iterator[Finding]:
    """Python and the packages against the bounds this package was installed with."""
    try:
        wanted = importlib.metadata.metadata(PACKAGE)["Requires-Python"]
        requirements = importlib.metadata.requires(PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        yield Finding("fail", "package", f"{PACKAGE} is not installed", "run pip install .")
        return
    python = ".".join(map(str, sys.version_info[:3]))
    if _release(python) < _release(wanted):
        yield Finding("fail", "Python", f"{python}, {wanted} is needed", "install a newer one")
    else:
        yield Finding("ok", "Python", python)
    for extra in ("", "train"):
        yield _packages(requirements, extra)


def _packages(requirements: list[str], extra: str) -> Finding:
    """The packages of the core (no extra) or of an extra."""
    subject = f"packages of [{extra}]" if extra else "packages"
    absent, old = [], []
    for requirement in requirements:
        specifier, _, marker = requirement.partition(";")
        found = re.search(r"extra == ['\"](\w+)", marker)
        if extra != (found.group(1) if found else ""):
            continue
        name = re.split(r"[\[<>=!~ ]", specifier)[0]
        least = specifier.rpartition(">=")[2].strip()
        try:
            have = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(name)
            continue
        if _release(have) < _release(least):
            old.append(f"{name} is {have}, {least} or later is needed")
    advice = install(extra) if extra else "run pip install --upgrade ."
    if absent and extra and not old:
        return Finding("warn", subject, f"without {', '.join(absent)}", f"to train, {advice}")
    if absent or old:
        return Finding("fail", subject, "; ".join([*old, *(f"no {n}" for n in absent)]), advice)
    jax_version = f"jax {jax.__version__}" if not extra else "all there"
    return Finding("ok", subject, jax_version)


def _release(version: str) -> tuple[int, ...]:
    """The numbers at a version's beginning; (3, 11) of ">=3.11"."""
    found = re.search(r"\d+(\.\d+)*", version)
    return tuple(map(int, found.group().split("."))) if found else ()


def room(workdir: str | None) -> Finding:
    """Free space where a local workdir is, else in the home directory."""
    place = Path.home() if workdir is None or "://" in workdir else Path(workdir)
    free = shutil.disk_usage(files.existing(place)).free
    text = f"{free / GIGABYTE:.1f} GB free at {place}"
    if free < LITTLE_DISK:
        return Finding("warn", "disk", text, "checkpoints need room; free some")
    return Finding("ok", "disk", text)


def memory() -> Finding:
    """Memory that can still be had."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        table = dict(line.split(":", 1) for line in lines)
        available = int(table["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):
        return Finding("ok", "memory", "this system does not tell how much is free")
    text = f"{available / GIGABYTE:.1f} GB available"
    if available < LITTLE_MEMORY:
        return Finding("warn", "memory", text, "end other programs, or make batches smaller")
    return Finding("ok", "memory", text)


def encoder() -> Finding:
    """Two frames and their sound, written as a video; no ffmpeg program is needed."""
    frames, sound = np.zeros((2, 64, 64, 3), np.uint8), np.zeros(1280, np.float32)
    try:
        with tempfile.TemporaryDirectory() as directory:
            video.save(Path(directory) / "probe.mp4", frames, sound)
    except (OSError, ValueError, av.FFmpegError) as error:
        return Finding("fail", "video", str(error), "run pip install --force-reinstall av")
    return Finding("ok", "video", "H.264 and AAC can be written")


def devices(environment: Mapping[str, str] = os.environ) -> Iterator[Finding]:
    """What jax computes on, and on how many hosts."""
    reason = chips.expected(environment)
    try:
        found = jax.devices()
    except RuntimeError as error:
        advice = "is another process using it? Is jax[tpu] installed?"
        yield Finding("fail", "devices", first_line(error), advice)
        return
    kind = found[0].device_kind
    if reason and found[0].platform == "cpu":
        advice = "end the process that holds the TPU, or run pip install 'jax[tpu]'"
        state = f"a TPU is expected ({reason}) but jax sees only a CPU"
        yield Finding("fail", "devices", state, advice)
    elif found[0].platform == "cpu" and importlib.util.find_spec("libtpu"):
        advice = "set JAX_PLATFORMS=tpu,cpu to have its absence be an error"
        yield Finding("warn", "devices", "libtpu is installed but jax sees only a CPU", advice)
    else:
        yield Finding("ok", "devices", f"{len(found)} × {kind}, {jax.local_device_count()} here")
    hosts = [name for name in environment.get("TPU_WORKER_HOSTNAMES", "").split(",") if name]
    processes = jax.process_count()
    state = f"process {jax.process_index()} of {processes}"
    if len(hosts) > processes:
        state = f"{processes} of {len(hosts)} hosts take part"
        yield Finding("fail", "hosts", state, "start the command on every worker")
    else:
        yield Finding("ok", "hosts", state)


def compile_cache() -> Finding:
    """Where compiled programs are kept, as `pipeline.load` chooses it."""
    given = jax.config.values["jax_compilation_cache_dir"]
    root = os.environ.get("FACESPEAK_CACHE", Path.home() / ".cache" / "facespeak")
    return files.writable("compile cache", str(given or Path(root) / "compiled"), "warn")
