"""A stand-in for gcloud that follows a script, and the launch scripts beside it."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TRAINING = ("--config", "configs/base.py:face", "--workdir", "gs://bucket/it's face")
SPOT = ("--accelerator-type=v5litepod-256", "--spot")

# Every call goes to `calls`; `describe` and the workers' status take the next line of `states` and
# `answers` (the last stays); a verb in `codes` takes its next exit code from there. With `workers`,
# ssh and scp do what they are told in the home directories named.
GCLOUD = """#!{python} -SE
import json, os, pathlib, shutil, subprocess, sys
here = pathlib.Path(__file__).parent
def put(name, text):  # at once: `run` and `stop` call at the same time
    new = here / f"{{name}}.{{os.getpid()}}"
    new.write_text(text)
    new.replace(here / name)
def following(name):
    lines = (here / name).read_text().splitlines()
    put(name, "\\n".join(lines[1:] or lines) + "\\n")
    return lines[0]
if sys.argv[1] == "storage":
    pathlib.Path(os.environ["HOME"], "fetched").write_text(" ".join(sys.argv[2:]))
    sys.exit()
with (here / "calls").open("a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
verb, words = sys.argv[4], sys.argv[5:]
command = next((w.partition("=")[2] for w in words if w.startswith("--command=")), "")
verb = command.split("worker.sh ")[1].split()[0] if command else verb
codes = json.loads((here / "codes").read_text())
code = codes[verb].pop(0) if codes.get(verb) else 0
put("codes", json.dumps(codes))
if code:
    sys.exit(code)
homes = (here / "workers").read_text().split()
if verb == "describe":
    print(following("states"))
elif homes and verb == "scp":
    for home in homes:
        shutil.copy(words[0], home)
elif homes and command:
    results = [subprocess.run(["bash", "-c", command], cwd=home, env=os.environ | {{"HOME": home}})
               for home in homes]
    sys.exit(max(result.returncode for result in results))
elif verb == "status":
    print(following("answers").replace("|", "\\n"))
"""


class Cloud:
    """A checkout with the launch scripts, and a gcloud that plays its part."""

    def __init__(self, root: Path):
        self.root, self.bin = root, root / "bin"
        self.bin.mkdir()
        shutil.copytree(ROOT / "launch", root / "code" / "launch", ignore=lambda *_: ["portraits"])
        git = ("git", "-C", str(root / "code"), "-c", "user.name=n", "-c", "user.email=e@x")
        for words in (("init", "-q"), ("add", "."), ("commit", "-qm", "One")):
            subprocess.run([*git, *words], check=True)
        self.script("gcloud", GCLOUD.format(python=sys.executable))
        self.script("sleep", "#!/bin/sh\n")
        self.play()

    def script(self, name: str, content: str) -> None:
        (self.bin / name).write_text(content)
        (self.bin / name).chmod(0o755)

    def play(self, states="ACTIVE", answers="worker a: finished 0", workers="", **codes) -> None:
        """What gcloud answers from now on."""
        for name, text in (("states", states), ("answers", answers), ("workers", workers)):
            (self.bin / name).write_text(text)
        (self.bin / "codes").write_text(json.dumps(codes))
        (self.bin / "calls").write_text("")

    def __call__(self, *words: str, **variables: str) -> subprocess.CompletedProcess:
        given = {"PROJECT": "my-project", "ZONE": "us-central2-b", "HOME": str(self.root)}
        given |= {"PATH": f"{self.bin}:/usr/bin:/bin", **variables}
        command = ["bash", str(self.root / "code" / "launch" / "tpu.sh"), *words]
        return subprocess.run(command, env=given, capture_output=True, text=True, timeout=300)

    @property
    def calls(self) -> list[str]:
        """gcloud's verbs in order; of the workers' script, its own."""
        found = []
        for line in (self.bin / "calls").read_text().splitlines():
            words = json.loads(line)
            assert words[:3] == ["compute", "tpus", "queued-resources"]
            asked = re.search(r"--command=.*worker\.sh (\w+)", line)
            found.append(asked.group(1) if asked else words[3])
        return found
