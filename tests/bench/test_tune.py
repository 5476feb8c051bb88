"""Tuning: what is tried, what is believed, and what becomes of it."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
import yaml

from bench.load.figures import Load
from bench.load.mixture import Mixed, Mixture
from bench.load.pictures import make_sets
from bench.tune import tune_bench as tune
from bench.tune.judge import is_hopeless, judge
from bench.tune.knobs import Knob, idle_ops, knobs, set_values
from bench.tune.sweep import Plan, Sweep
from runtime.launch import Service as Running
from settings.config import load_config
from tests.support.service import ROOT

BATCH = ("op", "ArcFace", "batch_size")
TEXT = (ROOT / "config.yml").read_text()


@pytest.fixture
def config(tmp_path):
    """A copy of the configuration that can be written to."""
    path = tmp_path / "config.yml"
    path.write_text(TEXT)
    return path


def test_only_sensible_values_are_tried():
    found = {knob.name: knob for knob in knobs(load_config(ROOT / "config.yml"), 6)}
    assert set(found["op.Request.concurrency"].values) <= {1, 2, 4, 6, 7}
    assert set(found["op.ArcFace.batch_size"].values) <= {1, 2, 4, 8, 16}
    assert "op.Request.batch_size" not in found
    assert all(knob.now not in knob.values for knob in found.values())
    assert "cores" not in found
    more = knobs(load_config(ROOT / "config.yml"), 2, ["ArcFace"], ["cores", "replicas"])
    assert [knob.name for knob in more][-2:] == ["cores", "replicas"]
    assert more[-1].values == (2,)


def test_ops_without_work_in_the_load_are_left_alone():
    config = load_config(ROOT / "config.yml")
    assert idle_ops(config, make_sets(["vga"])) == {"Attributes", "Liveness"}
    everything = [one.wanting(["attributes", "liveness"]) for one in make_sets(["vga"])]
    assert idle_ops(config, everything) == set()
    assert {"Detection", "Landmark"} <= idle_ops(config, make_sets(["aligned", "aligned8"]))


def test_a_setting_is_better_only_beyond_the_noise():
    assert judge([1.06, 1.05, 1.07]).better
    assert not judge([1.01, 1.01, 1.01]).better
    assert not judge([1.5, 0.9, 1.05]).better
    assert is_hopeless([0.9, 0.8])
    assert not is_hopeless([0.9, 1.0])
    assert not is_hopeless([0.5])


class Machine:
    """Services whose speed is made up, with as much noise as a busy machine has."""

    def __init__(self, speed, noise=0.01):
        self._speed, self._noise = speed, noise
        self._random = random.Random(7)
        self.running = self.starts = 0

    @contextlib.contextmanager
    def started(self, values):
        speed = self._speed(dict(values))
        if speed is None:
            raise RuntimeError("no")
        self.starts += 1
        self.running += 1
        try:
            yield self if speed == 1.0 else Faster(self, speed)
        finally:
            self.running -= 1

    def run(self, seconds, speed=1.0):
        assert self.running == 2  # present and new, side by side
        qps = 100.0 * speed * self._random.gauss(1.0, self._noise)
        return Mixed((Load("HTTP", 8, qps, {"p50": 9.0, "p99": 20.0}),), {"pipeline": 1.9})


class Faster:
    def __init__(self, machine, speed):
        self._machine, self._speed = machine, speed

    def run(self, seconds):
        return self._machine.run(seconds, self._speed)


class Silent:
    def plan(self, rounds): ...

    def say(self, text): ...

    def advanced(self): ...

    def tried(self, trial): ...


KNOBS = [Knob(("op", "A", "batch_size"), 2, (1, 4, 8)), Knob(("cores",), 0, (1, 3))]


def search(machine, seconds=60.0, runs=5):
    sweep = Sweep(machine, Plan(1.0, runs, time.monotonic() + seconds), Silent())
    sweep.run(KNOBS)
    assert machine.running == 0
    return sweep


def test_the_best_setting_is_found_and_confirmed():
    speeds = {None: 1.0, 1: 0.7, 4: 1.1, 8: 1.2}
    sweep = search(Machine(lambda values: speeds[values.get(("op", "A", "batch_size"))]))
    assert sweep.changes == {("op", "A", "batch_size"): 8}
    assert sweep.complete
    assert sweep.confirmed
    slower = next(trial for trial in sweep.trials if trial.value == 1)
    assert len(slower.runs) == 2  # it was given up early
    assert [trial.outcome for trial in sweep.trials if trial.step == "again"] == ["taken"]


def test_noise_alone_changes_nothing():
    assert search(Machine(lambda values: 1.0, noise=0.05)).changes == {}


def test_a_value_with_which_the_service_does_not_start_is_passed_over():
    sweep = search(Machine(lambda values: None if ("cores",) in values else 1.0))
    assert sweep.changes == {}
    assert sum("does not start" in trial.outcome for trial in sweep.trials) == 2


def test_a_faster_setting_that_loses_requests_is_not_taken():
    run = Mixed((Load("HTTP", 8, 200.0, errors=1),), {})

    class Losing(Machine):
        def run(self, seconds, speed=1.0):
            return run if speed > 1.0 else super().run(seconds)

    assert search(Losing(lambda values: 2.0 if values else 1.0)).changes == {}


def test_rounds_that_others_disturbed_do_not_count():
    class Shared(Machine):
        def run(self, seconds, speed=1.0):
            run = super().run(seconds, speed)
            if self._random.random() < 0.05:  # somebody else takes most of the machine
                return Mixed((Load("HTTP", 8, 0.3 * run.qps),), {"others": 1.5})
            return run

    sweep = search(Shared(lambda values: 1.1 if ("cores",) in values else 1.0))
    runs = [run for trial in sweep.trials for run in (*trial.runs, *trial.present)]
    assert not any("others" in run.cores for run in runs)
    assert list(sweep.changes) == [("cores",)]


def test_when_the_time_is_over_the_rest_is_not_tried():
    sweep = search(Machine(lambda values: 1.0), seconds=-1.0)
    assert not sweep.trials
    assert not sweep.complete


def test_of_a_mixture_no_set_counts_more_than_another():
    slow, fast = (Load("HTTP", 8, qps, {"p50": p50}) for qps, p50 in ((10.0, 90.0), (200.0, 5.0)))
    shifted = Mixed((Load("HTTP", 8, 5.0), Load("HTTP", 8, 400.0)), {})
    mixed = Mixed((slow, fast), {})
    assert shifted.over(mixed) == pytest.approx(1.0)
    assert (mixed.qps, mixed.latency("p50")) == (210.0, 90.0)
    assert Mixed((Load("HTTP", 8, 0.0), fast), {}).over(mixed) == 0.0


@pytest.mark.parametrize("interface", ["HTTP", "gRPC"])
def test_several_sets_load_the_service_at_the_same_time(interface, service):
    if interface == "HTTP" and not any(map(shutil.which, ("h2load", "wrk", "hey"))):
        pytest.skip("apt install nghttp2-client")
    running = Running(service.process.pid, service.url, f"127.0.0.1:{service.rpc_port}")
    mixture = Mixture(running, make_sets(["aligned", "vga"]), 4, interface)
    for seconds in (0.5, 5.0, 30.0):  # on a busy machine half a second may be too short
        mixed = mixture.run(seconds)
        if all(load.qps > 0 for load in mixed.loads):
            break
    assert [load.concurrency for load in mixed.loads] == [2, 2]
    assert all(load.qps > 0 for load in mixed.loads)
    assert mixed.errors == 0
    assert mixed.cores["pipeline"] > 0


def test_a_file_that_could_not_be_written_is_refused_before_anything_is_measured(config, capsys):
    config.write_text(TEXT + "cores: 0\n")
    assert tune.main(["--config", str(config), "--ops", "ArcFace", "--write"]) == 1
    assert "'cores' stands there twice" in " ".join(capsys.readouterr().err.split())


def test_an_unknown_op_is_named(config, capsys):
    assert tune.main(["--config", str(config), "--ops", "Nose"]) == 1
    assert "no op Nose" in capsys.readouterr().err


@pytest.fixture
def narrow(config, models):
    """A configuration beside the models, with little to turn."""
    content = yaml.safe_load(TEXT)
    set_values(content, {BATCH: 1})
    content["models_dir"] = str(models)
    config.write_text("# mine\n" + yaml.safe_dump(content, sort_keys=False))
    return config


@pytest.mark.slow
@pytest.mark.timeout(900)  # it starts up to ten services
def test_a_short_search_measures_each_value_and_tells_what_it_did(
    narrow, tmp_path, capsys, monkeypatch
):
    pair = [Knob(BATCH, 1, (8,)), Knob(("op", "Request", "concurrency"), 2, (1,))]
    monkeypatch.setattr(tune, "knobs", lambda *_: pair)
    out = tmp_path / "tune.json"
    options = ["--sets", "aligned", "--seconds", "1", "--runs", "1", "--concurrency", "4"]
    files = ["--config", str(narrow), "--json", str(out)]
    assert tune.main([*options, *files, "--write"]) == 0, capsys.readouterr().out
    found = json.loads(out.read_text())["results"]
    first = [trial for trial in found["trials"] if trial["step"] == "first"]
    assert [(trial["setting"], trial["value"]) for trial in first] == [
        ("op.ArcFace.batch_size", 8),
        ("op.Request.concurrency", 1),
    ]
    assert all(run["qps"] > 0 for trial in first for run in (*trial["runs"], *trial["present"]))
    assert found["complete"]
    text = narrow.read_text()
    assert text.startswith("# mine\n")
    expected = 8 if found["confirmed"] and found["changes"].get("op.ArcFace.batch_size") else 1
    assert load_config(narrow).op["ArcFace"].batch_size == expected


@pytest.mark.slow
def test_a_search_that_is_interrupted_writes_nothing_and_leaves_no_process_behind(narrow):
    before = narrow.read_text()
    options = ["--config", str(narrow), "--sets", "aligned", "--seconds", "0.5", "--write"]
    search = subprocess.Popen(
        [sys.executable, "-m", "bench", "tune", *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    family = []
    while not any("ops.serving" in " ".join(process.cmdline()) for process in family):
        assert search.poll() is None
        time.sleep(0.2)
        with contextlib.suppress(psutil.Error):
            family = psutil.Process(search.pid).children(recursive=True)
    search.send_signal(signal.SIGINT)
    said, _ = search.communicate(timeout=60)
    assert search.returncode == 130
    assert "so far" in said
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert narrow.read_text() == before
