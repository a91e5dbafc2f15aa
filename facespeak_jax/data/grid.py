"""The GRID audiovisual corpus (Cooke, Barker, Cunningham, Shao 2006; CC BY 4.0).

A directory with one folder a speaker, `s1` … `s34`; the file name is the transcript: `bbaf2n` is
"bin blue at F two now".
"""

import os
import re
from pathlib import Path

from facespeak_jax.data.manifest import Entry
from facespeak_jax.errors import BadManifest

# Three people are never trained on in this project: they judge it.
TEST = ("s30", "s31", "s33")
VALIDATION = ("s34",)

_WORDS = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter.upper() for letter in "abcdefghijklmnopqrstuvxyz"},
    dict(
        zip(
            "z123456789",
            ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
            strict=True,
        )
    ),
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)
_VIDEOS = (".mpg", ".mp4", ".mov", ".avi")


def transcript(stem: str) -> str:
    """The sentence that a GRID file name spells; the letter is upper case, to be read by its name.

    Raises:
      BadManifest: it is no GRID file name.
    """
    words = [table.get(letter) for table, letter in zip(_WORDS, stem, strict=False)]
    if len(stem) != len(_WORDS) or None in words:
        raise BadManifest(f"{stem!r} is no name of a GRID clip, such as 'bbaf2n'.")
    return " ".join(word for word in words if word)


def entries(directory: str | os.PathLike) -> list[Entry]:
    """Every video under `directory`, split by speaker.

    Raises:
      BadManifest: there is no video in folders named s1, s2, …, or a file name is no transcript.
    """
    root = Path(directory)
    videos = sorted(path for path in root.rglob("*") if path.suffix.lower() in _VIDEOS)
    found = []
    for path in videos:
        speakers = [part for part in path.relative_to(root).parts if re.fullmatch(r"s\d+", part)]
        if not speakers:
            continue
        speaker = speakers[0]
        split = "test" if speaker in TEST else "validation" if speaker in VALIDATION else "train"
        found.append(Entry(path, transcript(path.stem), speaker, f"{speaker}/{path.stem}", split))
    if not found:
        raise BadManifest(f"{root} holds no GRID video: folders s1, s2, … of .mpg are expected.")
    return found
