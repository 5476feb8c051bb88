"""What all benchmarks have in common: arguments, the verdict, figures in one shape."""

from __future__ import annotations

import json

import click
import pytest

from bench import __main__ as bench
from bench.frame import KEPT, MISSED, WRONG_USAGE, benchmark, levels, runs, seconds, several


@benchmark(
    several("--sets", type=click.Choice(["vga", "hd", "six"]), default=("vga",)),
    seconds(4.0),
    runs(),
    click.option("--rate", type=float, default=2.0),
    failures=(ValueError,),
)
def measure(bench):
    """Held to a rate of 1."""
    if bench.asked.rate == 3:
        raise ValueError("three is [not] measured")
    if bench.asked.rate == 4:
        raise click.UsageError("four is not there")
    bench.results = {"sets": list(bench.asked.sets), "runs": bench.asked.runs}
    bench.expected["at least 1"] = bench.asked.rate >= 1
    if bench.asked.rate == 5:
        raise KeyboardInterrupt


def test_figures_have_one_shape(tmp_path, capsys):
    file = tmp_path / "figures.json"
    assert measure(["--runs", "2", "--json", str(file)]) == KEPT
    assert "at least 1: kept" in capsys.readouterr().out
    written = json.loads(file.read_text())
    assert set(written) == {
        *("bench", "options", "date", "machine", "versions", "results", "verdict"),
    }
    assert written["options"]["seconds"] == 4.0
    assert set(written["machine"]) == {"processor", "cores", "memory_GiB"}
    assert {"python", "numpy", "faiss-cpu"} <= set(written["versions"])
    assert written["results"] == {"sets": ["vga"], "runs": 2}
    assert written["verdict"] == {"kept": True, "trouble": "", "expected": {"at least 1": True}}


def test_the_exit_status_says_what_was_kept(tmp_path, capsys):
    file = tmp_path / "figures.json"
    assert measure(["--rate", "0.5", "--json", str(file)]) == MISSED
    assert "at least 1: MISSED" in capsys.readouterr().out
    assert json.loads(file.read_text())["verdict"]["kept"] is False
    assert measure(["--rate", "5", "--json", str(file)]) == 130
    assert json.loads(file.read_text())["verdict"]["trouble"] == "interrupted"


def test_what_cannot_be_measured_is_one_line_on_standard_error(capsys):
    assert measure(["--rate", "3"]) == MISSED
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines()[-1].endswith(": three is [not] measured")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--runs", "0"], "--runs"),
        (["--seconds", "0"], "--seconds"),
        (["--seconds", "nan"], "--seconds"),
        (["--sets", "vga", "wide"], "--sets"),
        (["--sets"], "--sets"),
        (["--json", "."], "--json"),
        (["--nothing"], "--nothing"),
        (["extra"], "extra"),
    ],
)
def test_wrong_usage_names_the_option(wrong, named, capsys):
    with pytest.raises(SystemExit) as ended:
        measure(wrong)
    assert ended.value.code == WRONG_USAGE
    assert named in capsys.readouterr().err.splitlines()[-1]


def test_wrong_usage_that_shows_later_is_of_the_same_status(capsys):
    assert measure(["--rate", "4"]) == WRONG_USAGE
    assert "four is not there" in capsys.readouterr().err


def test_an_option_takes_several_values(tmp_path):
    file = tmp_path / "figures.json"
    for given in (["--sets", "hd", "six", "--runs", "1"], ["--sets", "hd", "--sets", "six"]):
        assert measure([*given, "--json", str(file)]) == KEPT
        assert json.loads(file.read_text())["results"]["sets"] == ["hd", "six"]


@benchmark(levels((2, 4)))
def measure_levels(bench):
    """Held to nothing."""
    bench.results = {"levels": list(bench.asked.levels)}


def test_levels_are_whole_numbers_from_1_on(tmp_path, capsys):
    file = tmp_path / "figures.json"
    for given, found in (([], [2, 4]), (["--levels", "8,16"], [8, 16])):
        assert measure_levels([*given, "--json", str(file)]) == KEPT
        assert json.loads(file.read_text())["results"]["levels"] == found
    for wrong in ("0", "8,-1", "8,", "many", ""):
        with pytest.raises(SystemExit) as ended:
            measure_levels(["--levels", wrong])
        assert ended.value.code == WRONG_USAGE
        assert "--levels" in capsys.readouterr().err


@pytest.mark.parametrize("name", bench.available())
def test_a_benchmark_takes_its_own_defaults(name, tmp_path):
    command = bench.load(name).main._command
    wanted = [(param.opts[0], str(tmp_path)) for param in command.params if param.required]
    assert command.make_context(name, [word for pair in wanted for word in pair]).params
