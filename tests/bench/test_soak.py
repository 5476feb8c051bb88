"""The soak: what its clients send and expect, and what counts as growth."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import islice

import psutil
import pytest

from bench.load.growth import ALLOWANCES, FEWEST, MEMORY, growth
from bench.soak import soak_bench as soak
from bench.soak.clients import Report
from bench.soak.kinds import Manner, Mix, bad_kinds, good_kinds, leaving_kinds
from bench.soak.show import plot
from bench.soak.watch import Record, Sample
from runtime.ports import free_ports
from tests.support.service import ROOT


def series(change=lambda n: 0.0, count=100, value=800e6, noise=1e6):
    chance = random.Random(3)
    return [value + chance.gauss(0.0, noise) + change(n) for n in range(count)]


TIMES = [5.0 * n for n in range(100)]


def test_noise_is_no_growth():
    found = growth(MEMORY, TIMES, series())
    assert not found.grows
    assert found.first == pytest.approx(800, abs=2)


def test_a_leak_is_growth_and_its_slope_is_told():
    found = growth(MEMORY, TIMES, series(lambda n: 0.5e6 * n))
    assert found.grows
    assert found.an_hour == pytest.approx(0.5 * 3600 / 5, rel=0.1)


def test_the_warm_up_does_not_count():
    assert not growth(MEMORY, TIMES, series(lambda n: -200e6 if n < 8 else 0.0)).grows


def test_what_the_spread_of_the_samples_explains_is_no_growth():
    latency = next(one for one in ALLOWANCES if one.name == "p99")
    assert not growth(latency, TIMES, series(value=200.0, noise=80.0)).grows
    assert growth(latency, TIMES, series(lambda n: 3.0 * n, value=200.0, noise=10.0)).grows


def test_of_too_few_samples_nothing_is_said():
    assert growth(MEMORY, TIMES[:FEWEST], series(count=FEWEST)) is None


def sample(number, **changed):
    figures = {"rss": 800_000_000, "pss": 700_000_000, "descriptors": 30, "threads": 20}
    figures.update({"p50": 100.0, "p99": 200.0, "errors": 0, **changed})
    return Sample(seconds=5.0 * number, requests=300, rate=60.0, **figures)


def test_a_run_is_a_success_only_without_growth_and_errors():
    record = Record([sample(n) for n in range(40)])
    record.note(Report(5.0, answered=10, refused=2, left=1))
    assert record.complaints() == []
    assert record.requests == 13
    record.note(Report(5.0, unexpected={"vga: 2 faces": 1}))
    assert record.complaints() == ["1 requests were not answered as they should"]
    leaking = Record([sample(n, descriptors=30 + n) for n in range(40)])
    assert leaking.complaints() == ["descriptors grows"]
    assert "too short" in Record([sample(0)]).complaints()[0]
    # Memory that another program no longer shares is no leak of the service.
    assert Record([sample(n, pss=10**6 * (700 + 9 * n)) for n in range(40)]).complaints() == []


def test_latency_is_judged_while_other_programs_leave_the_processors_alone():
    busy = [sample(n, p50=300.0, p99=900.0, others=0.9) for n in range(30, 40)]
    quiet = [sample(n, others=0.02) for n in range(30)]
    assert Record([*quiet, *busy]).complaints() == []
    assert len(Record([*quiet, *busy]).undisturbed()) == 30
    slower = [sample(n, p50=300.0, others=0.02) for n in range(30, 40)]
    assert Record([*quiet, *slower]).complaints() == ["p50 grows"]
    # Nowhere quiet: the least disturbed quarter of the samples counts.
    never = [sample(n, p50=100.0 + n, others=0.5 if n % 4 else 0.3) for n in range(80)]
    assert len(Record(never).undisturbed()) == 20
    assert Record(never).complaints() == ["p50 grows"]


def test_a_plot_is_drawn_also_where_answers_are_missing(tmp_path):
    samples = [sample(n, **({"p50": None, "p99": None} if n % 7 == 3 else {})) for n in range(40)]
    assert {one.name for one in Record(samples).growths()} == {one.name for one in ALLOWANCES}
    plot(samples, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").stat().st_size > 10_000


def test_one_request_in_ten_is_bad_and_one_in_twenty_is_left():
    mix = Mix()
    for http in (True, False):
        sent = list(islice(mix.schedule(1, http), 4000))
        assert sum(kind.good for kind in sent) == 3400
        assert sum(kind.error > 0 for kind in sent) == 400
        assert sum(kind.manner is not Manner.WAITS for kind in sent) == 200
        assert all((kind.body if http else kind.message) is not None for kind in sent)
        assert Counter(kind.name for kind in sent)["vga"] == 800


@pytest.mark.parametrize("kind", [*good_kinds().values(), *bad_kinds()], ids=lambda one: one.name)
def test_the_service_answers_each_kind_as_the_clients_expect(kind, service):
    url = service.url.replace("/ArcFace/prediction", kind.path or "/ArcFace/prediction")
    response = service._client.post(url, content=kind.body)
    answer = response.json()
    assert (response.status_code, answer["err_no"]) == (kind.status, kind.error)
    if not kind.error:
        images = json.loads(answer["value"][0])["images"]
        assert sum(len(image["faces"]) for image in images) == kind.faces
        assert kind.faces > 0


def test_nobody_waits_for_the_answers_of_those_who_leave():
    kinds = leaving_kinds()
    assert {kind.manner for kind in kinds} == set(Manner) - {Manner.WAITS}
    assert not any(kind.good for kind in kinds)


def run(service, out, *options):
    address = f"127.0.0.1:{service.rpc_port}"
    running = ["--pid", str(service.process.pid), "--url", service.url, "--address", address]
    status = soak.main([*running, "--interval", "0.4", "--json", str(out), *options])
    return status, json.loads(out.read_text())["results"]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_short_soak_counts_every_request_and_finds_no_error(service, tmp_path, capsys):
    for minutes in ("0.15", "0.6", "2"):  # a busy machine needs more for its samples
        _, found = run(service, tmp_path / "soak.json", "--minutes", minutes, "--clients", "6")
        if found["growth"]:
            break
    assert found["unexpected"] == {}, capsys.readouterr().out
    assert found["requests"] == sum(found["counts"].values())
    assert min(found["counts"][name] for name in ("answered", "refused", "left")) > 0
    # On a busy machine an interval may have no answer, and so no latency.
    wanted = {one.name for one in ALLOWANCES} - {"p50", "p99"}
    assert {one["name"] for one in found["growth"]} >= wanted
    assert all(one["rss"] > one["pss"] > 1e8 for one in found["samples"])
    assert not any("requests were not" in text for text in found["complaints"])


def test_it_ends_after_so_many_requests_and_says_when_that_was_too_short(service, tmp_path, capsys):
    status, found = run(service, tmp_path / "soak.json", "--requests", "20", "--clients", "2")
    assert status == 1
    assert 20 <= found["requests"] < 500
    assert "too short" in found["complaints"][0]
    assert "too short" in capsys.readouterr().out


def test_a_service_that_is_not_there_is_a_failure(tmp_path, capsys):
    rpc_port, http_port = free_ports()
    url, address = f"http://127.0.0.1:{http_port}/ArcFace/prediction", f"127.0.0.1:{rpc_port}"
    options = ["--pid", str(os.getpid()), "--url", url, "--address", address]
    assert soak.main([*options, "--minutes", "0.02", "--interval", "0.5", "--clients", "2"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "ConnectionRefusedError" in said
    assert "gRPC UNAVAILABLE" in said
    assert "not answered as they should" in said


@pytest.mark.parametrize("option", ["--plot=hour.xls", "--plot=.", "--json=none/hour.json"])
def test_a_file_that_cannot_be_written_is_refused_before_the_hour_and_not_after(option, capsys):
    with pytest.raises(SystemExit):
        soak.main([option])
    assert option.partition("=")[2] in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_soak_ends_all_that_it_started(models, tmp_path):
    out = tmp_path / "soak.json"
    running = subprocess.Popen(
        [sys.executable, "-m", "bench", "soak", "--interval", "0.3", "--json", str(out)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    family = wait_for_child(running, "bench.soak.clients")
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "interrupted" in said
    assert psutil.wait_procs(family, timeout=5)[1] == []
    assert json.loads(out.read_text())["results"]["complaints"][0] == "interrupted"


@pytest.mark.slow
def test_a_service_ends_with_a_benchmark_that_is_killed(models):
    running = subprocess.Popen(
        [sys.executable, "-m", "bench", "soak"], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    family = wait_for_child(running, "bench.soak.clients")
    assert any("ops.serving" in process.cmdline() for process in family)
    running.kill()
    running.wait()
    assert psutil.wait_procs(family, timeout=10)[1] == []


def wait_for_child(running, module):
    """The processes that it has started, once this one is among them."""
    for _ in range(600):
        assert running.poll() is None
        family = psutil.Process(running.pid).children(recursive=True)
        found = []
        for process in family:
            try:
                found.append(module in process.cmdline())
            except psutil.Error:
                found.append(False)
        if any(found):
            return family
        time.sleep(0.1)
    raise AssertionError(f"{module} was not started")
