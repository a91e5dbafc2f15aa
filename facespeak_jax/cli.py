"""The `facespeak` command. Progress goes to stderr, the path of the result to stdout."""

import argparse
import importlib
import os
import runpy
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import tqdm

from facespeak_jax import pipeline, video
from facespeak_jax.errors import FaceSpeakError, MissingExtra


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; 0 on success, 1 and one line on stderr for an error a user can act on."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["train"]:
        return _train(given[1:])
    options = vars(_parser().parse_args(given))
    run: Callable[..., Any] = options.pop("run")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning
        try:
            print(run(**options))
        except FaceSpeakError as error:
            print(f"facespeak: {error}", file=sys.stderr)
            return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="facespeak", description=pipeline.__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    speak = commands.add_parser("speak", help="a portrait says a text")
    speak.add_argument("--text", required=True, help="what to say, in English")
    speak.add_argument("--seed", type=int, help="the same seed gives the same file")
    speak.add_argument("--motion-seed", type=int, help="of the head's motion alone")
    speak.add_argument("--voice-seed", type=int, help="of the voice alone")
    speak.set_defaults(run=_speak)

    reenact = commands.add_parser("reenact", help="a portrait moves as a person in a video does")
    reenact.add_argument("--driving", required=True, metavar="VIDEO")
    reenact.set_defaults(run=_reenact)

    for command in (speak, reenact):
        command.add_argument("--portrait", required=True, metavar="PICTURE")
        command.add_argument(
            "--output", required=True, help=".mp4, .mov, .wav, or .png for a directory of frames"
        )
        command.add_argument("--face-index", type=int, help="which of several faces, 0 at the left")
        command.add_argument(
            "--paste-back", action="store_true", help="show the whole photograph, not the head"
        )
        command.add_argument(
            "--resolution",
            choices=("model", "source"),
            default="model",
            help="frames as large as the model draws, or as large as the head is in the portrait",
        )
        command.add_argument("--weights", default=str(pipeline.WEIGHTS), metavar="DIR")

    commands.add_parser("train", help="the training program: --config FILE:STAGE --workdir DIR")
    _add_prepare(commands.add_parser("prepare", help="make a corpus to train on"))
    _add_evaluate(commands.add_parser("evaluate", help="measure how good weights are"))
    _add_judges(commands.add_parser("judges", help="the networks that evaluate asks"))

    doctor = commands.add_parser("doctor", help="what this machine lacks, and what to do")
    doctor.add_argument("--workdir", metavar="DIR", help="of a training, local or gs://")
    doctor.add_argument("--data", nargs="+", default=[], metavar="DIR", help="of clips")
    doctor.add_argument("--weights", default=str(pipeline.WEIGHTS), metavar="DIR")
    doctor.set_defaults(run=_doctor)
    return parser


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    corpora = parser.add_subparsers(required=True, metavar="CORPUS")

    heads = corpora.add_parser("heads", help="generated people who speak")
    heads.set_defaults(run=_prepare_heads)
    faces = corpora.add_parser("faces", help="more of them, a few silent frames each")
    faces.set_defaults(run=_prepare_faces)
    voices = corpora.add_parser("voices", help="still people who speak, for the speech stage")
    voices.set_defaults(run=_prepare_voices)
    for generated in (heads, faces, voices):
        generated.add_argument("--people", type=int, required=True)
        generated.add_argument("--clips", type=int, required=True, help="of each person")
        generated.add_argument("--seed", type=int, default=0)
        generated.add_argument(
            "--beam",
            nargs=argparse.REMAINDER,
            metavar="FLAG",
            help="an Apache Beam pipeline makes them; all that follows is for it, --runner first",
        )

    manifest = corpora.add_parser("manifest", help="your own footage")
    manifest.add_argument("--manifest", required=True, help="JSONL of video, text and speaker")
    manifest.set_defaults(run=_prepare_manifest)

    grid = corpora.add_parser("grid", help="the GRID audiovisual corpus")
    grid.add_argument("--source", required=True, metavar="DIR", help="with folders s1, s2, …")
    grid.set_defaults(run=_prepare_grid)

    librispeech = corpora.add_parser("librispeech", help="LibriSpeech, for the vocoder stage")
    librispeech.set_defaults(run=_prepare_librispeech)
    librispeech.add_argument("--source", required=True, metavar="DIR", help="with its recordings")

    for filmed in (heads, faces, voices, manifest, grid):
        filmed.add_argument("--size", type=int, default=128, help="pixels of a frame's side")
    for corpus in (heads, faces, voices, manifest, grid, librispeech):
        corpus.add_argument("--out", required=True, metavar="DIR")
        corpus.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--weights", default=str(pipeline.WEIGHTS), metavar="DIR")
    parser.add_argument("--suite", required=True, help="heads, grid or manifest:PATH")
    parser.add_argument("--out", required=True, metavar="DIR", help="for report.json and report.md")
    parser.add_argument("--clips", type=int, help="at most so many; all by default")
    parser.add_argument("--corpus", metavar="DIR", help="prepared clips, of which test is used")
    parser.add_argument(
        "--row",
        action="append",
        default=[],
        dest="rows",
        metavar="NAME=DIR",
        help="one more row, which speaks with other weights; may be repeated; cascade alone is the "
        "one that ships",
    )
    parser.add_argument(
        "--experiment",
        default="",
        metavar="NAME",
        help="a table of its own: voice-consistency, noise-reducer, mapper, motion-codes, "
        "solver-steps or robustness",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=min(os.cpu_count() or 1, 8),
        help="processes that share the clips, of 2 GB each",
    )
    parser.set_defaults(run=_evaluate)


def _add_judges(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="get and verify them")
    fetch.add_argument("names", nargs="*", metavar="JUDGE", help="all by default")
    fetch.set_defaults(run=_fetch_judges)
    actions.add_parser("list", help="which are there").set_defaults(run=_list_judges)


def _speak(portrait: str, text: str, output: str, weights: str, **choices: Any) -> os.PathLike:
    video.destination(output)
    clip = pipeline.load(weights).speak(portrait, text, progress=_progress(), **choices)
    return clip.save(output)


def _reenact(portrait: str, driving: str, output: str, weights: str, **choices: Any) -> os.PathLike:
    video.destination(output)
    clip = pipeline.load(weights).reenact(portrait, driving, progress=_progress(), **choices)
    return clip.save(output)


def _progress() -> pipeline.Progress:
    """A bar on stderr that appears with the first frame."""
    bar: tqdm.tqdm | None = None

    def show(done: int, total: int) -> None:
        nonlocal bar
        bar = tqdm.tqdm(total=total, desc="frames", unit="frame") if bar is None else bar
        bar.update(done - bar.n)
        if done == total:
            bar.close()

    return show


def _prepare_heads(**options: Any) -> Any:
    return _generated(_needing("corpus", "facespeak_jax.data.heads.builder").Corpus, **options)


def _prepare_faces(**options: Any) -> Any:
    return _generated(_needing("corpus", "facespeak_jax.data.heads.faces").Faces, **options)


def _prepare_voices(**options: Any) -> Any:
    return _generated(_needing("corpus", "facespeak_jax.data.heads.voices").Voices, **options)


def _generated(
    kind: Any, out: str, workers: int, beam: list[str] | None, **corpus: int
) -> os.PathLike:
    builder = _needing("corpus", "facespeak_jax.data.heads.builder")
    make = builder.by_processes(workers)
    if beam is not None:
        make = _needing("beam", "facespeak_jax.data.heads.distributed").by_beam(beam)
    return builder.prepare(kind(**corpus), out, make)


def _prepare_manifest(manifest: str, size: int, workers: int, out: str) -> Any:
    module = _needing("corpus", "facespeak_jax.data.manifest")
    entries = module.read(manifest)
    return _report(
        module.build(entries, out, name="manifest", make=module.filmed(size), workers=workers)
    )


def _prepare_grid(source: str, size: int, workers: int, out: str) -> Any:
    module = _needing("corpus", "facespeak_jax.data.manifest")
    entries = _needing("corpus", "facespeak_jax.data.grid").entries(source)
    return _report(
        module.build(entries, out, name="grid", make=module.filmed(size), workers=workers)
    )


def _prepare_librispeech(source: str, workers: int, out: str) -> Any:
    module = _needing("corpus", "facespeak_jax.data.librispeech")
    build = _needing("corpus", "facespeak_jax.data.manifest").build
    entries = module.entries(source)
    return _report(build(entries, out, name="librispeech", make=module.hear, workers=workers))


def _evaluate(**options: Any) -> Any:
    return _needing("eval", "facespeak_jax.evaluation.evaluate").evaluate(**options)


def _fetch_judges(names: list[str]) -> str:
    return _needing("eval", "facespeak_jax.evaluation.judges.fetching").fetch(names)


def _list_judges() -> str:
    return _needing("eval", "facespeak_jax.evaluation.judges.fetching").table()


def _report(report: Any) -> os.PathLike:
    print(f"{report.kept} clips kept, {report.rejected} rejected", file=sys.stderr)
    return report.directory


def _doctor(**options: Any) -> str:
    return importlib.import_module("facespeak_jax.doctor.report").report(**options)


def _train(arguments: list[str]) -> int:
    try:
        _needing("train", "facespeak_jax.training.loop")
    except MissingExtra as error:
        print(f"facespeak: {error}", file=sys.stderr)
        return 1
    sys.argv = ["facespeak train", *arguments]
    sys.path.insert(0, os.getcwd())  # where `python -m` looks, too: a config imports its neighbours
    runpy.run_module("facespeak_jax.main", run_name="__main__", alter_sys=False)
    return 0


def _needing(extra: str, module: str) -> Any:
    """A module whose dependencies come with an extra of the package."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("facespeak_jax"):
            raise
        raise MissingExtra(
            f"{error.name} is not installed; this command needs it: "
            f"pip install 'facespeak_jax[{extra}]'"
        ) from error


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"facespeak: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
