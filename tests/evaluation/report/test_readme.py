import json

import pytest

from facespeak_jax.evaluation.report import readme

REPORT = {
    "suite": "heads",
    "clips": 40,
    "systems": {
        "ground_truth": {"wer": {"mean": 0.02, "low": 0.01, "high": 0.03, "n": 40}},
        "ours": {"wer": {"mean": 0.1, "low": None, "high": None, "n": 39}},
    },
}
TEXT = f"Before.\n{readme.BEGIN}\nold\n{readme.END}\nAfter.\n"


def test_figures_take_the_place_of_older_ones(tmp_path):
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    (tmp_path / "text.md").write_text(TEXT)
    given = ["--report", str(tmp_path / "report.json"), "--into", str(tmp_path / "text.md")]
    assert readme.main(given) == 0
    filled = (tmp_path / "text.md").read_text()
    assert filled.startswith("Before.\n")
    assert filled.endswith("After.\n")
    assert "old" not in filled
    assert "| system | WER % ↓ |" in filled
    assert "| ground truth | 2 (1 – 3), 40 |" in filled
    assert "| ours | 10, 39 |" in filled
    assert readme.fill(filled, REPORT) == filled


def test_a_text_without_room(tmp_path, capsys):
    with pytest.raises(readme.NoPlace, match="figures"):
        readme.fill("Before.", REPORT)
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    (tmp_path / "text.md").write_text("Before.")
    given = ["--report", str(tmp_path / "report.json"), "--into", str(tmp_path / "text.md")]
    assert readme.main(given) == 1
    assert (tmp_path / "text.md").read_text() == "Before."
