"""Compiles one pair: `python -m launch.aot.compiling '<the pair as JSON>' [DIR]` prints JSON.

The texts of the compiled programs go into DIR, and so does what the compiler says meanwhile.

A process of its own for each, because XLA ends the process where it meets an error of its own.
"""

import dataclasses
import importlib.metadata
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from launch.aot import hlo, traffic
from launch.aot.pairs import Pair

ROOT = Path(__file__).parents[2]
# libtpu compiles without a TPU if it is told of one and does not ask the cloud for it.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # nobody here needs a TPU for himself
    "TPU_STDERR_LOG_LEVEL": "1",  # warnings
    "TPU_LOG_DIR": "disabled",
}
Entry = dict[str, Any]


def run(pair: Pair, texts: Path | None = None) -> Entry:
    """The report's entry of a pair, compiled in another process; never raises for its failures.

    The compiled programs and the compiler's log go into the directory `texts`, if there is one.
    """
    command = [sys.executable, "-m", __name__, json.dumps(dataclasses.asdict(pair))]
    command += [str(texts.absolute())] if texts else []
    with (
        _file(texts, pair.name, "log").open("w+") if texts else tempfile.TemporaryFile("w+") as log
    ):
        done = subprocess.run(
            command,
            env={**os.environ, **ENVIRONMENT},
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        log.seek(0)
        said = log.read()
    entry: Entry = {"pair": dataclasses.asdict(pair)}
    if done.returncode:
        if full := out_of_memory(said):
            return entry | {"out_of_memory": full}
        return entry | {"error": f"exit code {done.returncode}: {last_error(said)}"}
    return entry | json.loads(done.stdout) | {"replicated": hlo.replicated(said)}


def _file(texts: Path, name: str, kind: str) -> Path:
    """Where something of the name goes."""
    texts.mkdir(parents=True, exist_ok=True)
    return texts / f"{re.sub(r'[^0-9A-Za-z.=]+', '_', name)}.{kind}"


def out_of_memory(log: str) -> str:
    """XLA's line about a program that does not fit; empty if there is none."""
    found = re.search(r"Used [\d.]+[KMGT] of [\d.]+[KMGT] hbm\. Exceeded [^\n]*?[\d.]+[KMGT]", log)
    return found[0] if found else ""


def last_error(log: str) -> str:
    """The last line that names an error, else the last line."""
    lines = log.strip().splitlines() or ["no word"]
    return next((line for line in reversed(lines) if re.match(r"[\w.]*Error\b", line)), lines[-1])


def compiled(pair: Pair, texts: Path | None = None) -> Entry:
    """What the compiler makes of every program of a pair."""
    from launch.aot import programs  # slow, and nothing that only starts pairs needs it

    on, found = programs.devices(pair), []
    start = time.monotonic()
    for name, traced in programs.traced(pair, on):
        lowered, begun = traced.lower(), time.monotonic()
        program = lowered.compile()
        end = time.monotonic()
        times = {"trace_seconds": begun - start, "compile_seconds": end - begun}
        if texts:
            _file(texts, f"{pair.name} {name}", "hlo").write_text(program.as_text())
        useful = programs.products(traced.jaxpr.jaxpr) / len(on)
        found.append({"name": name, **described(program), "useful": useful, **times})
        print(f"{name}: {found[-1]}", file=sys.stderr)
        start = time.monotonic()
    names = ("jax", "libtpu")
    versions = {name: importlib.metadata.version(name) for name in names}
    return {"devices": len(on), "programs": found, "versions": versions}


def described(program: Any) -> Entry:
    """The figures of one `jax.stages.Compiled`, for one device; bytes and operations."""
    memory, cost, text = program.memory_analysis(), program.cost_analysis(), program.as_text()
    parsed = hlo.parse(text)
    return {
        "arguments": memory.argument_size_in_bytes,
        "outputs": memory.output_size_in_bytes - memory.alias_size_in_bytes,
        "temporaries": memory.temp_size_in_bytes,
        "code": memory.generated_code_size_in_bytes,
        "flops": cost["flops"],
        "moved": cost["bytes accessed"],
        "hbm": traffic.moved(parsed),
        "cycles": traffic.cycles(parsed),
        "collectives": [dataclasses.asdict(one) for one in hlo.collectives(parsed)],
        "loops": parsed.loops,
        "rematerialised": hlo.rematerialised(text),
    }


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    given["override"] = tuple(tuple(one) for one in given["override"])
    json.dump(compiled(Pair(**given), *map(Path, sys.argv[2:])), sys.stdout)
