import hashlib
import io
import subprocess
import sys
import tarfile
import zipfile

import pytest

from facespeak_jax.data import assets
from facespeak_jax.data.assets import Archive, AssetMissing

WORDS = b"first line\nsecond line\n"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FACESPEAK_CACHE", str(tmp_path))
    (tmp_path / "downloads").mkdir()
    return tmp_path


def wheel(path, content=WORDS):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("thing/data/words.txt", content)
        archive.writestr("thing/data/../../../escaped.txt", content)
        archive.writestr("thing/other.txt", "not wanted")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def deb(path, content=WORDS):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:xz") as archive:
        member = tarfile.TarInfo("./usr/share/thing/words.txt")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": packed.getvalue()}
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, data in parts.items():
            head = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n"
            file.write(head.encode() + data + b"\n" * (len(data) % 2))


def declare(monkeypatch, **fields):
    archive = Archive(
        **{
            "client": "pip",
            "package": "thing",
            "version": "1.0",
            "filename": "thing-1.0.whl",
            "keep": {"thing/data": "data"},
            **fields,
        }
    )
    monkeypatch.setitem(assets.ASSETS, "thing", (archive,))
    return archive


def no_client(monkeypatch, error):
    def run(*args, **kwargs):
        raise error

    monkeypatch.setattr(subprocess, "run", run)


def test_a_wheel_in_the_cache_is_unpacked_once_without_a_client(cache, monkeypatch):
    digest = wheel(cache / "downloads" / "thing-1.0.whl")
    declare(monkeypatch, sha256=digest)
    no_client(monkeypatch, AssertionError("a client was called"))
    folder = assets.resolve("thing")
    assert (folder / "data" / "words.txt").read_bytes() == WORDS
    assert sorted(path.name for path in folder.rglob("*")) == ["data", "words.txt"]
    assert not list(cache.rglob("escaped.txt"))
    (cache / "downloads" / "thing-1.0.whl").unlink()
    assert assets.resolve("thing") == folder


def test_a_debian_package_is_unpacked_and_checked_by_its_members(cache, monkeypatch):
    deb(cache / "downloads" / "thing_1.0-2_all.deb")
    fields = {
        "client": "apt",
        "filename": "thing_*.deb",
        "keep": {"usr/share/thing/words.txt": "words.txt"},
    }
    declare(monkeypatch, members={"words.txt": hashlib.sha256(WORDS).hexdigest()}, **fields)
    assert (assets.resolve("thing") / "words.txt").read_bytes() == WORDS
    declare(monkeypatch, members={"words.txt": "0" * 64}, **fields)
    with pytest.raises(AssetMissing, match=r"words\.txt"):
        assets.resolve("thing")


def test_another_file_than_the_recorded_one_is_refused(cache, monkeypatch):
    digest = wheel(cache / "downloads" / "thing-1.0.whl")
    declare(monkeypatch, sha256=digest)
    wheel(cache / "downloads" / "thing-1.0.whl", b"changed")
    with pytest.raises(AssetMissing, match="not the recorded file"):
        assets.resolve("thing")
    assert not list((cache / "assets").iterdir())


def test_the_client_fetches_what_is_missing(cache, monkeypatch):
    digest = wheel(cache / "thing-1.0.whl")
    archive = declare(monkeypatch, sha256=digest)

    def run(command, cwd, **kwargs):
        assert command == [sys.executable, "-m", "pip", "download", "--no-deps", "thing==1.0"]
        wheel(type(cache)(cwd) / archive.filename)

    monkeypatch.setattr(subprocess, "run", run)
    assert (assets.resolve("thing") / "data" / "words.txt").read_bytes() == WORDS


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (FileNotFoundError(2, "missing", "npm"), "`npm` is not installed"),
        (subprocess.CalledProcessError(1, "npm", stderr="a\nno network\n"), "no network"),
    ],
)
def test_a_failing_client_says_what_to_do(cache, monkeypatch, error, said):
    declare(monkeypatch, client="npm", filename="thing-1.0.tgz", sha256="0" * 64)
    no_client(monkeypatch, error)
    with pytest.raises(AssetMissing) as caught:
        assets.resolve("thing")
    message = str(caught.value)
    assert said in message
    assert "npm pack thing@1.0" in message
    assert f"put thing-1.0.tgz into {cache / 'downloads'}" in message


def test_every_asset_is_recorded_with_a_digest():
    for archives in assets.ASSETS.values():
        for archive in archives:
            digests = [archive.sha256] if archive.sha256 else list(archive.members.values())
            assert digests
            assert all(len(digest) == 64 for digest in digests)
            assert archive.command[0]
