"""`make demo`: portraits that speak. Writes an MP4 for each and a contact sheet of all.

A rendered head that was never trained on and a photograph (scikit-image's astronaut) say a
sentence, each in a voice inferred from the face; a second head is re-enacted with a clip's motion.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
import tqdm
from PIL import Image

import facespeak_jax

HERE = Path(__file__).parent
DRIVING = HERE / "driving.mp4"
TEXT = "Good morning. I have never said this before, and nobody recorded my voice."
SHOWN = 8  # frames of each clip on the contact sheet


def main() -> None:
    """Makes every clip of the demo and prints what was written."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path, help="the directory to write to")
    parser.add_argument("--portrait", type=Path, help="a picture of your own, spoken as well")
    parser.add_argument("--text", default=TEXT, help="what is said")
    arguments = parser.parse_args()
    speaker, out = facespeak_jax.load(), arguments.out
    spoken = {"head": HERE / "portraits" / "head_a.png", "astronaut": skimage.data.astronaut()}
    if arguments.portrait:
        spoken[arguments.portrait.stem] = arguments.portrait
    clips = {
        name: shown(name, speaker.speak, portrait, arguments.text)
        for name, portrait in spoken.items()
    }
    driven = HERE / "portraits" / "head_b.png"
    clips["reenacted"] = shown("reenacted", speaker.reenact, driven, DRIVING)
    for name, clip in clips.items():
        print(clip.save(out / f"{name}.mp4"))
    sheet = out / "contact_sheet.png"
    Image.fromarray(np.concatenate([row(clip) for clip in clips.values()])).save(sheet)
    print(sheet)


def shown(name: str, make: Callable[..., facespeak_jax.Clip], *inputs: Any) -> facespeak_jax.Clip:
    """What `make` makes of the inputs, under a progress bar of that name."""
    with tqdm.tqdm(desc=name, unit="frame") as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return make(*inputs, progress=show)


def row(clip: facespeak_jax.Clip) -> np.ndarray:
    """Frames from all over a clip, side by side."""
    times = np.linspace(0, len(clip.video) - 1, SHOWN).astype(int)
    return np.concatenate(clip.video[times], axis=1)


if __name__ == "__main__":
    sys.exit(main())
