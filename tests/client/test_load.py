"""Many requests, Ctrl-C, and the scripts as processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from client.cli import load
from client.cli import scripts as cli
from client.pictures import Picture
from tests.client.fake_service import (
    BUSY,
    CLIENTS,
    FACE,
    FakeHttp,
    FakeRpc,
    result,
    slowly,
)

ROOT = Path(__file__).resolve().parents[2]


def test_a_service_that_goes_away_ends_the_run_with_what_was_counted(run, fake, way, capsys):
    def answer(_picture, _options):
        if len(fake.pictures) == 5:
            threading.Thread(target=fake.stop).start()
        return slowly(0.05)(_picture, _options)

    fake.answer = answer
    started = time.monotonic()
    assert run("--repeat", "100000", "--no-table") == 1
    assert time.monotonic() - started < 20
    shown = capsys.readouterr().out
    assert "unreachable" in shown
    assert "answers/s" in shown


def test_repeat_and_concurrency_send_every_picture_and_sum_up(run, fake, directory, capsys):
    fake.answer = slowly(0.02)
    assert run(directory, "--repeat", 8, "--concurrency", 4) == 0
    assert len(fake.pictures) == 24
    assert fake.most_busy == 4
    for path in directory.rglob("*.*g"):
        assert fake.pictures.count(path.read_bytes()) == 8
    shown = capsys.readouterr().out
    assert "24 of 24 answered, 24 faces" in shown
    for part in ("answers/s", "mean", "p50", "p90", "p99", "max"):
        assert part in shown


def test_errors_are_counted_by_code(run, fake, capsys):
    fake.answer = lambda _p, _o: BUSY if len(fake.pictures) % 4 == 0 else result(FACE)
    assert run("--repeat", 20) == 1
    shown = capsys.readouterr().out
    assert "15 of 20 answered" in shown
    assert "3003 x 5" in shown


def test_with_json_the_summary_goes_to_standard_error(run, capsys):
    assert run("--repeat", 3, "--json") == 0
    out, err = capsys.readouterr()
    assert len([json.loads(line) for line in out.splitlines()]) == 3
    assert "3 of 3 answered" in err


def test_every_grpc_request_has_a_log_id_of_its_own(capsys):
    fake = FakeRpc()
    cli.main(CLIENTS["rpc"], ["--address", fake.address, "--repeat", "5", "--no-table"])
    fake.stop()
    assert len(set(fake.log_ids)) == 5
    assert min(fake.log_ids) > 0


def test_latencies_are_summed_up_in_milliseconds():
    summary = load.Summary(planned=100)
    picture = Picture("x")
    answer = type("Answer", (), {"image": type("Image", (), {"faces": (1, 2), "error": None})})()
    for number in range(1, 101):
        summary.add(load.Outcome(picture, 0, number / 1000, answer))
    summary.seconds = 2.0
    figures = summary.to_dict()
    assert figures["latency_ms"] == pytest.approx(
        {"mean": 50.5, "p50": 50.5, "p90": 90.1, "p99": 99.01, "max": 100}
    )
    assert (figures["qps"], figures["answered"], figures["faces"]) == (50, 100, 200)


def start_script(fake, *arguments, stderr=subprocess.PIPE):
    """One of the two scripts as a process of its own."""
    name, flag = (
        ("pipeline_http_client.py", "--url")
        if isinstance(fake, FakeHttp)
        else ("pipeline_rpc_client.py", "--address")
    )
    command = [sys.executable, str(ROOT / name), flag, fake.address, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True)


def test_ctrl_c_stops_with_a_summary(fake):
    fake.answer = slowly(0.05)
    process = start_script(fake, "--repeat", "100000", "--concurrency", "3")
    deadline = time.monotonic() + 30
    while len(fake.pictures) < 6 and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "by Ctrl-C" in out
    assert "Traceback" not in err


def test_the_progress_bar_is_on_the_terminal_and_the_answers_are_in_the_pipe(fake):
    ours, terminal = os.openpty()
    process = start_script(fake, "--json", "--repeat", "40", stderr=terminal)
    os.close(terminal)
    out, _ = process.communicate(timeout=30)
    shown = os.read(ours, 100_000).decode()
    os.close(ours)
    assert len([json.loads(line) for line in out.splitlines()]) == 40
    assert "pictures" in shown


def test_the_scripts_leave_nothing_behind_and_bear_a_closed_pipe(fake, tmp_path):
    process = start_script(fake, "--json", "--repeat", "3000")
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=30) == 1
    assert process.stderr.read() == ""
    process.stderr.close()


def test_the_rpc_script_does_not_import_paddle_serving_and_makes_no_logs(tmp_path):
    code = (
        "import sys; from client.pipeline.rpc import RpcTransport; RpcTransport();"
        "assert not [n for n in sys.modules if n.startswith('paddle_serving')]"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("SERVING_LOG_PATH", None)
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    assert list(tmp_path.iterdir()) == []


def test_the_rpc_script_needs_no_paddle_serving():
    fake = FakeRpc()
    code = (
        "import sys; sys.modules.update(paddle_fence=None, paddle_serving_server=None);"
        "from client.cli.commands import rpc; sys.exit(rpc())"
    )
    command = [sys.executable, "-c", code, "--address", fake.address, "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    fake.stop()
    assert json.loads(done.stdout)["images"]
