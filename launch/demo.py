"""`make demo`: portraits that move. Writes an MP4 for each portrait and a contact sheet of all.

A rendered head that was never trained on and a photograph (scikit-image's astronaut) are re-enacted
with the motion of a corpus clip.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import skimage.data
import tqdm
from PIL import Image

import facespeak_jax

HERE = Path(__file__).parent
DRIVING = HERE / "driving.mp4"
SHOWN = 8  # frames of each clip on the contact sheet


def main() -> None:
    """Re-enacts every portrait of the demo and prints what was written."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", type=Path, help="the directory to write to")
    out = parser.parse_args().out
    speaker = facespeak_jax.load()
    portraits = {path.stem: path for path in sorted((HERE / "portraits").glob("*.png"))}
    rows = []
    for name, portrait in {**portraits, "astronaut": skimage.data.astronaut()}.items():
        with tqdm.tqdm(desc=name, unit="frame") as bar:

            def show(done: int, total: int, bar: tqdm.tqdm = bar) -> None:
                bar.total = total
                bar.update(done - bar.n)

            clip = speaker.reenact(portrait, DRIVING, progress=show)
        print(clip.save(out / f"{name}.mp4"))
        shown = np.linspace(0, len(clip.video) - 1, SHOWN).astype(int)
        rows.append(np.concatenate(clip.video[shown], axis=1))
    sheet = out / "contact_sheet.png"
    Image.fromarray(np.concatenate(rows)).save(sheet)
    print(sheet)


if __name__ == "__main__":
    sys.exit(main())
