import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from facespeak_jax import cli, export, pipeline, video
from tests import tiny
from tests.faces import astronaut, moving, tone


@pytest.fixture(scope="module")
def speaker(tmp_path_factory):
    weights = tiny.write(tmp_path_factory.mktemp("weights"), tiny.FACE)
    return pipeline.FaceSpeaker(export.load(weights))


@pytest.fixture
def files(tmp_path, monkeypatch, speaker):
    """A directory with a portrait, a picture of two, one of nobody, a text, and a driving video."""
    monkeypatch.setattr(pipeline, "load", lambda directory: speaker)
    one = Image.fromarray(astronaut())
    one.save(tmp_path / "one.png")
    two = Image.new("RGB", (1024, 512))
    two.paste(one)
    two.paste(one, (512, 0))
    two.save(tmp_path / "two.png")
    Image.new("RGB", (300, 300), "grey").save(tmp_path / "nobody.png")
    (tmp_path / "text.png").write_text("hello")
    video.save(tmp_path / "driving.mov", moving(20, [[0, 0]] * 20), tone(20))
    return tmp_path


def reenact(files, portrait="one.png", driving="driving.mov", output="out.mp4", *more):
    return cli.main(
        [
            "reenact",
            *("--portrait", str(files / portrait)),
            *("--driving", str(files / driving)),
            *("--output", str(files / output)),
            *more,
        ]
    )


def test_the_path_of_the_result_is_all_that_goes_to_stdout(files, capsys):
    assert reenact(files) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{files / 'out.mp4'}\n"
    assert "20/20" in captured.err
    assert video.read(files / "out.mp4").frames.shape == (20, tiny.SIZE, tiny.SIZE, 3)


def test_face_index_and_paste_back(files, capsys):
    assert reenact(files, "two.png", "driving.mov", "out.png", "--face-index", "1") == 0
    assert capsys.readouterr().out == f"{files / 'out'}\n"
    assert len(list((files / "out").iterdir())) == 20
    assert reenact(files, "one.png", "driving.mov", "whole.mp4", "--paste-back") == 0
    assert video.read(files / "whole.mp4").frames.shape == (20, 512, 512, 3)
    assert reenact(files, "one.png", "driving.mov", "fine.mp4", "--resolution", "source") == 0
    assert video.read(files / "fine.mp4").frames.shape == (20, 192, 192, 3)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"portrait": "two.png"}, "2 faces"),
        ({"portrait": "nobody.png"}, "No face"),
        ({"portrait": "text.png"}, "can't be read as a picture"),
        ({"portrait": "missing.png"}, "There is no picture"),
        ({"driving": "missing.mp4"}, "There is no video"),
        ({"driving": "text.png"}, "can't be read as a video"),
        ({"output": "out.gif"}, ".mp4"),
    ],
)
def test_errors_are_one_line_and_leave_nothing(files, capsys, given, reason):
    before = sorted(files.iterdir())
    assert reenact(files, **given) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("facespeak: ")
    assert captured.err.count("\n") == 1
    assert reason in captured.err
    assert sorted(files.iterdir()) == before


def test_speaking_without_the_parts_says_which_are_missing(files, capsys):
    given = ["--portrait", str(files / "one.png"), "--text", "Hello.", "--output"]
    assert cli.main(["speak", *given, str(files / "out.mp4")]) == 1
    assert "text_encoder" in capsys.readouterr().err
    assert not (files / "out.mp4").exists()


def test_damaged_weights(tmp_path, capsys):
    given = ["--portrait", "x.png", "--driving", "y.mp4", "--output", str(tmp_path / "o.mp4")]
    assert cli.main(["reenact", *given, "--weights", str(tmp_path)]) == 1
    assert "no weights directory" in capsys.readouterr().err


def test_usage_errors_exit_with_two():
    with pytest.raises(SystemExit) as exit_:
        cli.main(["speak", "--portrait", "x.png"])
    assert exit_.value.code == 2


def test_training_by_the_installed_command_finds_what_a_config_imports(tmp_path):
    command = [str(Path(sys.executable).parent / "facespeak"), "train"]
    command += ["--config", "configs/smoke.py:face", "--workdir", str(tmp_path)]
    command += ["--config.data.paths=('/nowhere',)"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "/nowhere should be, or hold exactly one, directory of clips" in done.stderr


def test_prepare_manifest(tmp_path, capsys):
    (tmp_path / "m.jsonl").write_text('{"video": "missing.mp4", "text": "Gone."}\n')
    given = ["--manifest", str(tmp_path / "m.jsonl"), "--out", str(tmp_path / "out")]
    assert cli.main(["prepare", "manifest", *given, "--workers", "1"]) == 1
    assert "None of the 1 files" in capsys.readouterr().err
