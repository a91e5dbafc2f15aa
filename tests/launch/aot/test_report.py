import dataclasses
import json

import pytest

from launch.aot import __main__ as command
from launch.aot import compiling, report, tables
from launch.aot.pairs import PAIRS, Pair

SMALL = Pair("configs/base.py:joint", "v5e:2x2", 2)
LARGE = dataclasses.replace(SMALL, topology="v5e:4x4")
FULL = dataclasses.replace(SMALL, rows=64, override=(("train.remat", True),))


def entry(pair, devices, sent):
    exchange = {"kind": "all-reduce", "group": devices, "count": 3, "bytes": 4_000_000}
    exchange["largest"] = "f/gather"
    program = {
        "name": "step",
        "arguments": 2 * 2**30,
        "outputs": 0,
        "temporaries": 2**31,
        "code": 2**20,
        "flops": 1.97e12,
        "useful": 1.576e12,
        "moved": 40e9,
        "hbm": 16.38e9,
        "cycles": 3_000_000,
        "collectives": [exchange | {"sent": sent}],
        "loops": [800, 800],
        "rematerialised": 0,
        "trace_seconds": 1.0,
        "compile_seconds": 81.4,
    }
    return {
        "pair": dataclasses.asdict(pair),
        "devices": devices,
        "programs": [program],
        "replicated": [],
        "versions": {"jax": "1.2", "libtpu": "3.4"},
    }


ENTRIES = {
    SMALL.name: entry(SMALL, 4, 6_000_000),
    LARGE.name: entry(LARGE, 16, 7_500_000),
    FULL.name: {
        "pair": dataclasses.asdict(FULL),
        "out_of_memory": "Used 30.10G of 15.75G hbm. Exceeded hbm capacity by 14.35G",
    },
}
ROW = (
    "| 2 |  | step | 4.00 (75%) | 1.97 (1.58) | 16.4 (40) | {} | 10, **20**, {} | 40.0% | 0 "
    "| 1.0, 81 | 800 800 |"
)
TABLE = [
    "| base joint | v5e:2x2 " + ROW.format("0.006", "0.03"),
    "| base joint | v5e:4x4 " + ROW.format("0.0075", "0.0375"),
    "| base joint | v5e:2x2 | 64 | train.remat=True | step | **does not fit**: Used 30.10G of "
    "15.75G hbm. Exceeded hbm capacity by 14.35G | | | | | | | | |",
]
COSTS = [
    "| base joint | v5e:2x2 | 50000 | 128 | 10 | 17.8 |",
    "| base joint | v5e:4x4 | 50000 | 128 | 10 | 17.8 |",
]
SCALING = """
| config | chip | rows | devices | HBM GiB | TFLOP | GB moved | GB sent |
|---|---|---|---|---|---|---|---|
| base joint | v5e | 2 | 4 | 4.00 | 1.97 | 16.4 | 0.006 |
| base joint | v5e | 2 | 16 | 4.00 | 1.97 | 16.4 | 0.0075 |
"""
EXCHANGES = """## Collectives

| pair | program | kind | devices | count | MB | MB sent | most of them for |
|---|---|---|---|---|---|---|---|
| configs/base.py:joint step v5e:2x2 rows=2 | step | all-reduce | 4 | 3 | 4 | 6 | f/gather |
| configs/base.py:joint step v5e:4x4 rows=2 | step | all-reduce | 16 | 3 | 4 | 7.5 | f/gather |

jax 1.2, libtpu 3.4.
"""


def test_the_tables():
    text = tables.markdown(ENTRIES)
    assert text.startswith(tables.HEAD)
    main, scaling = text.removeprefix(tables.HEAD).split(tables.SCALING)
    main, costs = main.split("## What a training costs")
    assert costs.strip().splitlines()[2:] == COSTS
    assert main.strip().splitlines()[2:] == TABLE
    assert all(line.count("|") == 15 for line in main.strip().splitlines())
    assert scaling == SCALING + "\n" + EXCHANGES


def test_a_generator_beside_the_plain_one_at_equal_operations():
    """Half of the work, a quarter of the bytes as XLA counts them, and as many in HBM."""
    plain, ours = (
        entry(dataclasses.replace(SMALL, what=what, rows=8), 1, 0)
        for what in ("plain generator", "generator")
    )
    own = ours["programs"][0]
    own["useful"], own["moved"] = 0.5 * own["useful"], 0.25 * own["moved"]
    table = tables.markdown({"a": plain, "b": ours}).split("## The generator by itself")[1]
    assert table.split("\n## ")[0].strip().splitlines()[2:] == [
        "| plain, LIA's size | step | 197 | 5 | 25.4 | 1.00 | 2.05 | 10.4 | 1.00 |",
        "| base joint | step | 98.5 | 1.25 | 12.7 | 2.00 | 2.05 | 20.8 | 0.50 |",
    ]


def test_written_and_read_again(tmp_path):
    report.write(tmp_path, ENTRIES)
    found = report.load(tmp_path / "report.json")
    assert found == json.loads(json.dumps(ENTRIES))
    assert found[SMALL.name]["programs"][0]["roofline"]["binds"] == "HBM"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "report.md"]
    report.write(tmp_path, found)
    assert report.load(tmp_path / "report.json") == found


class Compiler:
    """Stands in for `compiling.run`."""

    def __init__(self):
        self.asked, self.stop_at, self.broken = [], None, ()

    def __call__(self, pair, texts):
        if pair == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(pair)
        failure = {"pair": dataclasses.asdict(pair), "error": "exit code 134: SIGABRT"}
        return failure if pair in self.broken else ENTRIES[pair.name]


@pytest.fixture
def compiler(monkeypatch):
    found = Compiler()
    monkeypatch.setattr(compiling, "run", found)
    monkeypatch.setattr(command, "PAIRS", (SMALL, LARGE, FULL))
    return found


def test_an_interrupted_run_is_continued(compiler, tmp_path):
    compiler.stop_at = LARGE
    with pytest.raises(KeyboardInterrupt):
        command.main(["--all", "--out", str(tmp_path)])
    compiler.stop_at = None
    assert command.main(["--all", "--out", str(tmp_path)]) == 0
    assert compiler.asked == [SMALL, LARGE, FULL]
    assert list(report.load(tmp_path / "report.json")) == [p.name for p in (SMALL, LARGE, FULL)]


def test_where_the_report_goes_need_not_be_there(compiler, tmp_path):
    out = tmp_path / "new" / "one"
    assert command.main(["--all", "--out", str(out)]) == 0
    assert len(report.load(out / "report.json")) == 3


def test_a_failure_leaves_an_entry_and_is_tried_again(compiler, tmp_path, capsys):
    compiler.broken = (LARGE,)
    assert command.main(["--all", "--out", str(tmp_path)]) == 1
    assert compiler.asked == [SMALL, LARGE, FULL]
    assert "**failed**: exit code 134: SIGABRT" in (tmp_path / "report.md").read_text()
    compiler.broken = ()
    assert command.main(["--all", "--out", str(tmp_path)]) == 0
    assert compiler.asked[3:] == [LARGE]
    assert "**failed**" not in (tmp_path / "report.md").read_text()
    assert TABLE[1] in capsys.readouterr().out


def test_one_pair_by_name(compiler, tmp_path):
    arguments = ["--config", SMALL.config, "--topology", SMALL.topology, "--out", str(tmp_path)]
    command.main([*arguments, "--rows", "64", "--override", "train.remat=True"])
    command.main([*arguments, "--rows", "64", "--override", "train.remat=True"])
    assert compiler.asked == [FULL, FULL]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --all"),
        (["--all", "--topology", "v5e:2x2"], "give --all"),
        (["--topology", "v5e:2x2"], "belong together"),
        (["--config", "configs/base.py:face", "--topology", "v9:2x2"], "v4, v5e, v5p, v6e, tpu7x"),
    ],
)
def test_wrong_usage(arguments, message, capsys):
    with pytest.raises(SystemExit) as caught:
        command.main(arguments)
    assert caught.value.code == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_no_pair_is_listed_twice_and_all_chips_are_known():
    assert len({pair.name for pair in PAIRS}) == len(PAIRS)
    assert {pair.chip.kind for pair in PAIRS} >= {"TPU v4", "TPU v5 lite", "TPU v5", "TPU v6 lite"}


def test_what_does_not_fit_is_told_from_what_failed():
    log = (
        "RESOURCE_EXHAUSTED: Ran out of memory in memory space hbm. Used 20.10G of 15.75G hbm. "
        "Exceeded hbm capacity by 4.35G.\n\nTotal hbm usage >= 20.35G:\n"
    )
    assert compiling.out_of_memory(log).endswith("Exceeded hbm capacity by 4.35G")
    assert compiling.out_of_memory("RESOURCE_EXHAUSTED: of patience") == ""


def test_the_line_that_names_the_error():
    log = "Traceback:\n  File x\njax.errors.JaxRuntimeError: ABORTED: in use\nsee there\n"
    assert compiling.last_error(log) == "jax.errors.JaxRuntimeError: ABORTED: in use"
    assert compiling.last_error("one\ntwo\n") == "two"
    assert compiling.last_error("") == "no word"


def test_generators_are_told_apart_in_the_main_table():
    both = [dataclasses.replace(SMALL, what=what) for what in ("plain generator", "generator")]
    rows = [tables.lines(entry(pair, 1, 0))[0] for pair in both]
    assert "| plain generator step |" in rows[0]
    assert "| generator step |" in rows[1]
