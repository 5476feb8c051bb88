"""One request a picture: what is sent, what is shown, and everything that can go wrong."""

from __future__ import annotations

import base64
import importlib.util
import json

import grpc
import numpy as np
import pytest

from client.cli import scripts as cli
from client.pictures import collect, sample_png
from client.pipeline.answer import Options
from tests.client.fake_service import (
    BUSY,
    CLIENTS,
    FACE,
    FakeHttp,
    Reply,
    Status,
    picture_error,
    result,
    slowly,
)


def json_lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_without_a_path_the_sample_picture_is_sent_and_its_face_shown(run, fake, capsys):
    assert run() == 0
    assert fake.pictures == [sample_png()]
    shown = capsys.readouterr().out
    for part in ("sample", "170 60 285 195", "0.93", "4-d |1.000| +0.60", "mobilefacenet_128"):
        assert part in shown


def test_without_scikit_image_a_picture_has_to_be_named(run, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    assert run() == 2
    assert "name a picture" in capsys.readouterr().err


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
    more = "--embedding-format base64 --smallest-face 30"
    assert run(*arguments.split(), *more.split()) == 0
    assert fake.options == [
        {
            "max_faces": 3,
            "min_score": 0.25,
            "min_size": 40,
            "smallest_face": 30,
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


def test_equal_names_are_told_apart(directory, tmp_path):
    names = [picture.name for picture in collect([str(directory), str(directory / "b.png")])]
    assert names == ["a.JPG", "b.png", "inner/c.webp", "b-2.png"]
