"""LibriSpeech (Panayotov et al. 2015, CC BY 4.0): real voices, unseen, for the vocoder.

A directory with recordings anywhere below it, named speaker-chapter-utterance as
`103-1240-0000.flac`.
"""

import os
import re
from pathlib import Path

import numpy as np

from facespeak_jax import video
from facespeak_jax.data import manifest
from facespeak_jax.data.manifest import Entry
from facespeak_jax.data.schema import Clip
from facespeak_jax.errors import BadManifest, FaceSpeakError
from facespeak_jax.rates import SAMPLES_PER_FRAME

_NAME = re.compile(r"(\d+)-\d+-\d+")
_SOUNDS = (".flac", ".wav", ".ogg")


def entries(directory: str | os.PathLike) -> list[Entry]:
    """Every recording under `directory`, split by speaker.

    Raises:
      BadManifest: there is no recording of such a name.
    """
    root = Path(directory)
    named = [
        (path, _NAME.fullmatch(path.stem))
        for path in sorted(root.rglob("*"))
        if path.suffix.lower() in _SOUNDS
    ]
    found = [Entry(path, "", name[1], path.stem, "") for path, name in named if name]
    if not found:
        raise BadManifest(
            f"{root} holds no recording of LibriSpeech: names such as 103-1240-0000.flac are "
            "expected."
        )
    return manifest.by_speaker(found)


def hear(entry: Entry) -> Clip | str:
    """A recording becomes a clip without pictures, cut to whole video frames, or the reason why it
    can't."""
    try:
        wave = video.sound_of(entry.video)
    except FaceSpeakError as error:
        return str(error)
    if len(wave) < SAMPLES_PER_FRAME:
        return f"too short: {len(wave)} samples"
    wave = video.fit(wave, len(wave) // SAMPLES_PER_FRAME)
    return Clip(
        clip_id=entry.clip_id,
        speaker=entry.speaker,
        text=entry.text,
        frames=[],
        audio=np.rint(np.clip(wave, -1, 1) * 32767).astype(np.int16),
    )
