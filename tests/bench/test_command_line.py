"""The benchmarks' command line, and how memory is counted."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from bench import __main__ as bench
from bench import memory
from runtime.launch import started

ROOT = Path(__file__).resolve().parents[2]


def test_without_a_name_the_benchmarks_are_listed_with_what_they_measure(capsys):
    assert bench.main([]) == 2
    listed = capsys.readouterr().out
    assert "accuracy" in listed
    assert "Memory of all processes" in listed


def test_what_has_no_main_is_not_a_benchmark():
    assert "service" not in bench.available()


def test_an_unknown_benchmark_is_refused_and_the_known_ones_named(capsys):
    assert bench.main(["nothing"]) == 2
    assert "memory" in capsys.readouterr().err


def test_a_list_of_benchmarks_does_not_import_paddle():
    code = (
        "import sys; from bench.__main__ import main; main(['-h']); print('paddle' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "False"


def test_memory_is_that_of_a_process_and_its_descendants():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        usages = memory.usage_of(os.getpid())
    finally:
        child.communicate(b"\n")
    assert {os.getpid(), child.pid} <= {usage.pid for usage in usages}
    for usage in usages:
        assert 0 < usage.uss <= usage.pss <= usage.rss


@pytest.mark.parametrize(("limit", "verdict"), [(31.0, "within"), (29.0, "OVER")])
def test_the_sum_of_pss_is_held_against_the_limit(limit, verdict, capsys):
    usages = [memory.Usage(pid, "worker", 80 * memory.MB, 15 * memory.MB, 1) for pid in (1, 2)]
    memory.show(usages, limit, Console(width=100))
    assert verdict in capsys.readouterr().out
    assert memory.total_pss(usages) == 30 * memory.MB


def test_a_service_that_does_not_start_is_an_error_and_nothing_is_left(tmp_path):
    settings = yaml.safe_load((ROOT / "config.yml").read_text())
    settings["models_dir"] = str(tmp_path / "none")
    config = tmp_path / "config.yml"
    config.write_text(yaml.safe_dump(settings))
    with pytest.raises(RuntimeError, match="before it was ready"), started(config):
        pytest.fail("it cannot be ready without models")


@pytest.mark.slow
def test_the_default_configuration_stays_within_the_memory_limit(models):
    assert memory.main(["--requests", "24", "--config", str(ROOT / "config.yml")]) == 0
