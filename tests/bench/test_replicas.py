"""Replicas against one: which cores they get, and what is compared."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading

import psutil
import pytest

from bench import replicas
from bench.replicas import Cores, usable_cores
from runtime import affinity
from runtime.affinity import pin, whole_cores
from tests.support.service import ROOT

HERE = sorted(os.sched_getaffinity(0))
needs_two = pytest.mark.skipif(len(HERE) < 2, reason="needs two cores")


@pytest.fixture
def cores(monkeypatch):
    """Pretend to have these cores, and these pairs of threads of one physical core."""

    def set_up(usable, siblings=()):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(usable))
        pairs = {core: set(pair) for pair in siblings for core in pair}
        monkeypatch.setattr(affinity, "_siblings", lambda core: pairs.get(core, {core}))

    return set_up


def test_with_two_cores_the_load_shares_them_on_both_sides(cores):
    cores([0, 1])
    found = usable_cores(2)
    assert found == Cores((0, 1), ())
    assert "on both sides it shares" in found.in_words()


def test_with_more_cores_the_load_has_its_own(cores):
    cores([0, 1, 2, 3])
    found = usable_cores(2)
    assert found == Cores((0, 1), (2, 3))
    assert "cores 2, 3" in found.in_words()


def test_threads_of_one_physical_core_are_not_taken_for_two(cores):
    cores([0, 1, 2, 3, 4, 5], siblings=[(0, 3), (1, 4), (2, 5)])
    assert whole_cores() == [0, 1, 2]
    assert usable_cores(2) == Cores((0, 1), (2,))
    assert usable_cores(4) == Cores((0, 1, 2, 3), ())


def test_a_machine_with_too_few_cores_is_skipped_with_a_reason(cores, capsys):
    cores([0])
    assert replicas.main([]) == 0
    assert "skipped: 2 replicas need as many cores, here: 1" in capsys.readouterr().out


@needs_two
def test_what_is_started_on_a_core_stays_there():
    # In a process of its own: libraries that other tests load move threads about.
    code = f"""
import os, subprocess, sys
from runtime.affinity import on_cores
told = "import os; print(sorted(os.sched_getaffinity(0)))"
with on_cores({HERE[1:2]}):
    print(subprocess.run([sys.executable, "-c", told], capture_output=True, text=True).stdout)
print(sorted(os.sched_getaffinity(0)))
"""
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert [json.loads(line) for line in said.stdout.split("\n") if line] == [HERE[1:2], HERE]


@needs_two
def test_all_threads_of_a_process_are_moved():
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    try:
        pin(os.getpid(), HERE[:1])
        assert os.sched_getaffinity(thread.native_id) == set(HERE[:1])
    finally:
        pin(os.getpid(), HERE)
        end.set()
        thread.join()
    with pytest.raises(FileNotFoundError):
        pin(2**22 + 1, HERE)


@needs_two
@pytest.mark.slow
def test_two_replicas_are_held_against_one(models, tmp_path, capsys):
    before = set(psutil.Process().children(recursive=True))
    out = tmp_path / "replicas.json"
    options = ["--sets", "aligned", "--seconds", "0.5", "--runs", "2", "--concurrency", "4"]
    config = ["--config", str(ROOT / "config.yml"), "--limit", "0", "--json", str(out)]
    assert replicas.main([*options, *config]) == 0, capsys.readouterr().out
    found = json.loads(out.read_text())["results"]
    (figures,) = found["sets"]
    assert figures["ratio"] > 0
    assert len(figures["one"]) == len(figures["all"]) == 2
    assert {"pipeline", "pipeline 2", "generator"} <= set(figures["all"][0]["cores"])
    assert figures["one"][0]["cores"]["pipeline"] < 1.1  # of one core
    assert "wanted: 0.00" in capsys.readouterr().out
    assert set(psutil.Process().children(recursive=True)) <= before
