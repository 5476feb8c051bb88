"""The client scripts' code against small servers that speak the wire format."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import grpc
import numpy as np
import pytest

from client import cli, load
from client.answer import Options
from client.cli import Client
from client.http import HttpTransport
from client.pictures import Picture, collect, sample_png
from client.rpc import RpcTransport
from tests.fake_service import (
    FACE,
    FakeHttp,
    FakeRpc,
    Reply,
    Status,
    encoded,
    picture_error,
    result,
    slowly,
)

ROOT = Path(__file__).resolve().parents[1]
CLIENTS = {
    "http": Client("http_client", "HTTP", "--url", "http://127.0.0.1:1/x", HttpTransport),
    "rpc": Client("rpc_client", "gRPC", "--address", "127.0.0.1:1", RpcTransport),
}
BUSY = Status(grpc.StatusCode.RESOURCE_EXHAUSTED, 429, "3003 BUSY: The queue is full.")


@pytest.fixture(params=["http", "rpc"])
def way(request):
    return request.param


@pytest.fixture
def fake(way):
    server = FakeHttp() if way == "http" else FakeRpc()
    yield server
    server.stop()


@pytest.fixture
def run(way, fake):
    """Runs the client on arguments; gives the exit status."""

    def run_client(*arguments):
        client = CLIENTS[way]
        return cli.main(client, [client.flag, fake.address, *map(str, arguments)])

    return run_client


@pytest.fixture
def directory(tmp_path):
    """Three pictures of different width, one in a folder below, and a file that is none."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "b.png").write_bytes(encoded(20, 10))
    (tmp_path / "a.JPG").write_bytes(encoded(30, 10, ".jpg"))
    (tmp_path / "inner" / "c.webp").write_bytes(encoded(40, 10, ".webp"))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def json_lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_without_a_path_the_sample_picture_is_sent_and_its_face_shown(run, fake, capsys):
    assert run() == 0
    assert fake.pictures == [sample_png()]
    shown = capsys.readouterr().out
    for part in ("sample", "170 60 285 195", "0.93", "4-d |1.000| +0.60", "mobilefacenet_128"):
        assert part in shown


def test_a_file_is_sent_as_it_is_whatever_its_suffix(run, fake, tmp_path):
    path = tmp_path / "picture.data"
    path.write_bytes(b"any bytes")
    assert run(path) == 0
    assert fake.pictures == [b"any bytes"]


def test_a_directory_gives_one_request_a_picture_sorted_by_path(run, fake, directory, capsys):
    assert run(directory, "--json") == 0
    assert [line["picture"] for line in json_lines(capsys)] == ["a.JPG", "b.png", "inner/c.webp"]
    assert len(fake.pictures) == 3


def test_json_prints_the_answers_as_they_came_and_nothing_else(run, capsys):
    assert run("--json") == 0
    (line,) = json_lines(capsys)
    assert line["picture"] == "sample"
    assert line["images"] == [{"width": 512, "height": 512, "faces": [FACE]}]


def test_options_that_were_not_given_are_left_to_the_service(run, fake):
    run()
    assert fake.options == [{}]


def test_every_option_reaches_the_service(run, fake):
    arguments = "--max-faces 3 --min-score 0.25 --min-size 40 --want landmarks,attributes --aligned"
    assert run(*arguments.split(), "--embedding-format", "base64") == 0
    assert fake.options == [
        {
            "max_faces": 3,
            "min_score": 0.25,
            "min_size": 40,
            "want": ["landmarks", "attributes"],
            "embedding_format": "base64",
            "aligned": True,
        }
    ]


def test_both_embedding_formats_give_the_same_vector(way, fake):
    transport = CLIENTS[way].connect(fake.address, 5)
    vector = np.array(FACE["embedding"], "<f4")
    text = base64.b64encode(vector.tobytes()).decode()
    fake.answer = lambda _p, _o: result(FACE, {**FACE, "embedding": text})
    one, other = transport.predict("", Options()).image.faces
    transport.close()
    assert np.array_equal(one.embedding, vector)
    assert np.array_equal(other.embedding, vector)


def test_attributes_and_liveness_are_shown(run, fake, capsys):
    attributes = {
        "age": 31.4,
        "gender": {"type": "female", "probability": 0.98},
        "emotion": {"type": "happy", "probability": 0.7, "probabilities": {"happy": 0.7}},
    }
    fake.answer = lambda _p, _o: result(
        {**FACE, "attributes": attributes, "liveness": {"score": 1}}
    )
    assert run() == 0
    shown = " ".join(capsys.readouterr().out.split())
    for part in ("age 31", "female", "0.98", "happy", "live"):
        assert part in shown


def test_no_face_is_a_result(run, fake, capsys):
    fake.answer = lambda _p, _o: result()
    assert run() == 0
    assert "none" in capsys.readouterr().out


def test_one_bad_picture_is_named_and_the_others_are_answered(run, fake, directory, capsys):
    bad = (directory / "b.png").read_bytes()
    error = picture_error(5106, "BROKEN_PICTURE: send a whole one.")
    fake.answer = lambda picture, _o: error if picture == bad else result(FACE)
    assert run(directory) == 1
    shown = capsys.readouterr().out
    assert "b.png: 5106: BROKEN_PICTURE" in shown
    assert "2 of 3 answered" in shown


def test_an_error_number_of_the_service_is_shown_with_its_message(run, fake, capsys):
    fake.answer = lambda _p, _o: Reply([], [], 5003, "MALFORMED_OPTIONS: want: a list.")
    assert run("--json") == 1
    (line,) = json_lines(capsys)
    assert line["error"] == {"code": "5003", "message": "MALFORMED_OPTIONS: want: a list."}


def test_busy_has_the_same_code_over_both_ways(run, fake, capsys):
    fake.answer = lambda _p, _o: BUSY
    assert run("--json") == 1
    (line,) = json_lines(capsys)
    assert line["error"] == {"code": "3003", "message": "BUSY: The queue is full."}


def test_a_status_without_a_number_keeps_its_own_name(run, fake, way, capsys):
    fake.answer = lambda _p, _o: Status(grpc.StatusCode.DEADLINE_EXCEEDED, 504, "too slow")
    assert run("--json") == 1
    (line,) = json_lines(capsys)
    assert line["error"]["code"] == {"http": "504", "rpc": "DEADLINE_EXCEEDED"}[way]
    assert "too slow" in line["error"]["message"]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(["{"]),
        Reply(["[]"]),
        Reply(['{"images": []}']),
        Reply(['{"images": [{}, {}]}']),
        Reply(['{"images": [{"width": 1, "height": 1}]}']),
        Reply(['{"images": [{"width": 1, "height": 1, "faces": [{"box": [1, 2], "score": 1}]}]}']),
        Reply(['{"images": [{"error": {}}]}']),
        result({**FACE, "landmarks": [[1, 2]]}),
        result({**FACE, "embedding": "not base64!"}),
        result({**FACE, "embedding": [[1.0], [2.0]]}),
        result({**FACE, "score": "high"}),
        result({**FACE, "box": [0, 0, float("nan"), 5]}),
        Reply(["{}"], ["other"]),
        Reply([]),
    ],
)
def test_a_malformed_answer_is_an_error_and_no_traceback(run, fake, reply, capsys):
    fake.answer = lambda _p, _o: reply
    assert run("--json") == 1
    (line,) = json_lines(capsys)
    assert line["error"]["code"] == "malformed"


@pytest.mark.parametrize(
    "raw", [b"", b"<html>", b"[]", b'{"err_no": "x"}', b'{"key": 3}', b'{"value": [3]}', b"\xff"]
)
def test_an_http_body_that_is_no_answer_is_an_error(raw, capsys):
    fake = FakeHttp()
    fake.raw = raw
    assert cli.main(CLIENTS["http"], ["--url", fake.address, "--json"]) == 1
    fake.stop()
    (line,) = json_lines(capsys)
    assert line["error"]["code"] == "malformed"


def test_an_answer_that_does_not_come_in_time_is_an_error(run, fake, capsys):
    fake.answer = slowly(1.0)
    assert run("--json", "--timeout", "0.2") == 1
    (line,) = json_lines(capsys)
    assert line["error"] == {"code": "timeout", "message": "no answer within 0.2 s"}


def test_a_service_that_is_not_there_is_one_clear_line(way, fake, directory, capsys):
    fake.stop()
    client = CLIENTS[way]
    assert cli.main(client, [client.flag, fake.address, str(directory), "--repeat", "50"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = err.splitlines()
    assert f"no service at {fake.address}" in line
    assert "make run" in line


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


def test_proxy_settings_of_the_environment_are_not_used(run, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert run() == 0


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_sent(run, directory, capsys):
    (directory / "gone.png").symlink_to(directory / "nowhere.png")
    assert run(directory) == 1
    shown = capsys.readouterr().out
    assert "gone.png: unreadable" in shown
    assert "3 of 4 answered" in shown


def test_an_empty_directory_is_wrong_usage(run, tmp_path, capsys):
    assert run(tmp_path) == 2
    assert "no pictures in" in capsys.readouterr().err


def test_a_path_that_is_not_there_is_wrong_usage(run, fake, tmp_path, capsys):
    assert run(tmp_path / "none.jpg") == 2
    assert "no such file or directory" in capsys.readouterr().err
    assert fake.pictures == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["--repeat", "0"],
        ["--concurrency", "0"],
        ["--concurrency", "100000"],
        ["--timeout", "0"],
        ["--timeout", "nan"],
        ["--min-score", "1.5"],
        ["--want", "landmarks,age"],
        ["--embedding-format", "hex"],
    ],
)
def test_values_out_of_range_are_wrong_usage(run, arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        run(*arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "address"),
    [
        ("http", "127.0.0.1:9998"),
        ("http", "ftp://127.0.0.1/x"),
        ("http", "http://"),
        ("rpc", "127.0.0.1"),
        ("rpc", "127.0.0.1:port"),
        ("rpc", "http://127.0.0.1:99999"),
    ],
)
def test_an_address_that_cannot_be_one_is_wrong_usage(kind, address, capsys):
    client = CLIENTS[kind]
    assert cli.main(client, [client.flag, address]) == 2
    assert address in capsys.readouterr().err


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
        "import sys; from client.rpc import pipeline_messages; m = pipeline_messages();"
        "assert not [n for n in sys.modules if n.startswith('paddle')];"
        "import paddle_serving_server.pipeline.proto.pipeline_service_pb2 as own;"
        "text = m.Request(key=['a'], logid=7).SerializeToString();"
        "assert own.Request.FromString(text).logid == 7"
    )
    quiet = code.split("import paddle_serving_server")[0]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("SERVING_LOG_PATH", None)
    subprocess.run([sys.executable, "-c", quiet], cwd=tmp_path, env=environment, check=True)
    assert list(tmp_path.iterdir()) == []
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


def test_paddle_serving_is_asked_for_where_it_is_missing(monkeypatch, capsys):
    for name in list(sys.modules):
        if name.startswith("paddle_serving_server"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert cli.main(CLIENTS["rpc"], []) == 2
    assert "make setup" in capsys.readouterr().err


def test_equal_names_are_told_apart(directory, tmp_path):
    names = [picture.name for picture in collect([str(directory), str(directory / "b.png")])]
    assert names == ["a.JPG", "b.png", "inner/c.webp", "b-2.png"]
