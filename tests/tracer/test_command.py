"""``python -m tracer`` on text that Paddle Serving's own tracer wrote."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path

import pytest

from tests.support import trace_writer
from tests.support.trace_writer import op, query
from tracer import trace_files
from tracer.__main__ import main
from tracer.parse import parse

DETECTION = op("Detection", 2, 1, 16, 1, 0)  # 90 % at work
ARCFACE = op("ArcFace", 8, 0.5, 1, 0.5, 0)  # 20 % at work
QUERIES = [query(number, 10 + number, succ=number != 3) for number in range(40)]
BUSY = [DETECTION, DETECTION, ARCFACE, *QUERIES]
IDLE: list[dict] = []


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The real tracer's file for a start, a busy interval and a quiet one."""
    return trace_writer.write(tmp_path_factory.mktemp("trace"), [IDLE, BUSY, IDLE])


@pytest.fixture
def blocks(written):
    """The text of each of its blocks."""
    text = written.read_text()
    starts = [match.start() for match in re.finditer(r"^.* =+ TRACER =+$", text, re.MULTILINE)]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)])]


def busy_interval(written):
    return list(parse(written.read_text().splitlines()))[1]


def last_complete(path):
    return [interval for interval in trace_files.read_all(path) if interval.complete][-1]


def test_every_figure_of_the_text_is_read(written):
    interval = busy_interval(written)
    detection, arcface = interval.ops
    assert detection.name == "Detection"
    assert detection.ms == {"in": 2, "prep": 1, "midp": 16, "postp": 1, "out": 0}
    assert detection.idle == pytest.approx(0.1)
    assert arcface.work_ms == 2
    dag = interval.dag
    assert (dag.queries, dag.qps, dag.success, dag.failed) == (40, 4.0, 0.975, (3,))
    assert dag.latency_ms == pytest.approx(29.5)
    assert list(dag.percentiles) == [50, 60, 70, 80, 90, 95, 99]
    assert dag.percentiles[99] == 49
    assert interval.seconds == trace_writer.INTERVAL_S
    first, last = interval.channels
    assert (first.producers, first.consumers) == (("@DAGExecutor",), ("Detection",))
    assert (first.size, first.limit, last.size, last.limit) == (1, 64, 0, 0)
    assert last.producers == ("ArcFace", "Liveness")
    assert abs(datetime.datetime.now() - interval.time) < datetime.timedelta(minutes=5)


def test_no_failed_request_and_several(tmp_path):
    items = [ARCFACE, query(1, 5)], [ARCFACE, query(2, 5, False), query(3, 5, False)]
    path = trace_writer.write(tmp_path, [IDLE, *items])
    failed = [interval.dag.failed for interval in trace_files.read_all(path) if interval.dag]
    assert failed == [(), (2, 3)]


def test_the_last_interval_without_queries_is_idle(written, capsys):
    assert main([str(written)]) == 0
    shown = capsys.readouterr().out
    assert "The service was idle" in shown
    assert "--busy" in shown


def test_busy_shows_the_last_interval_with_queries_and_names_the_limit(written, capsys):
    assert main([str(written), "--busy", "--cores", "8", "--config", "none.yml"]) == 0
    shown = capsys.readouterr().out
    assert "Detection limits the throughput" in shown
    assert "40 queries, 4.0/s, 97.5% answered (1 failed)" in shown


def test_json_holds_the_interval_the_period_and_its_course(written, capsys):
    assert (
        main([str(written), "--busy", "--cores", "8", "--config", "none.yml", "--json", "--all"])
        == 0
    )
    document = json.loads(capsys.readouterr().out)
    interval = document["interval"]
    assert [entry["name"] for entry in interval["ops"]] == ["Detection", "ArcFace"]
    assert interval["latency_ms"]["p50"] == {"value": 30, "low": 30, "high": 30}
    assert interval["queues"][1]["consumers"] == ["Response"]
    assert interval["verdict"]["state"] == "limited"
    assert interval["verdict"]["op"] == "Detection"
    assert document["period"]["queries"] == 40
    assert [point["queries"] for point in document["course"]] == [40]


def test_a_block_that_is_being_written_is_left_alone(blocks, tmp_path):
    path = tmp_path / "pipeline.tracer"
    for end in range(1, len(blocks[1]), 7):
        path.write_text(blocks[0] + blocks[1] + blocks[1][:end])
        interval = last_complete(path)
        assert len(interval.channels) == 2
        assert len(interval.ops) == 2


def test_a_block_cut_off_by_a_kill_does_not_hide_the_next_start(blocks, tmp_path):
    path = tmp_path / "pipeline.tracer"
    for end in range(30, len(blocks[1]) - 200, 11):
        path.write_text(blocks[1][:end] + blocks[0] + blocks[1])
        complete = [interval for interval in trace_files.read_all(path) if interval.complete]
        assert complete[-1].dag.queries == 40
        assert complete[-2].dag is None


def test_the_last_block_is_found_in_the_rotated_file(blocks, tmp_path):
    path = tmp_path / "pipeline.tracer"
    cut = len(blocks[1]) // 2
    cut = blocks[1].index("\n", cut) + 1
    Path(f"{path}.2").write_text(blocks[0])
    Path(f"{path}.1").write_text(blocks[0] + blocks[1][:cut])
    path.write_text(blocks[1][cut:])
    interval = last_complete(path)
    assert interval.dag.queries == 40
    assert len(interval.channels) == 2
    assert len(list(trace_files.read_all(path))) == 3


def test_a_search_goes_back_through_a_long_quiet_time(blocks, tmp_path):
    path = tmp_path / "pipeline.tracer"
    Path(f"{path}.1").write_text(blocks[1] + blocks[2] * 2000)
    path.write_text(blocks[2] * 2000)
    found = trace_files.read_while(path, lambda found: not any(one.dag for one in found))
    assert [one.dag.queries for one in found if one.dag] == [40]


def test_foreign_and_binary_lines_are_passed_over(blocks, tmp_path):
    path = tmp_path / "pipeline.tracer"
    path.write_bytes(b"\xff\xfe garbage\n" + blocks[1].encode() + b"\x00\x00\nmore\n")
    assert last_complete(path).dag.queries == 40


@pytest.mark.parametrize("text", ["", "no tracer here\n"])
def test_a_file_without_an_interval_is_a_clear_line(text, tmp_path, capsys):
    path = tmp_path / "pipeline.tracer"
    path.write_text(text)
    assert main([str(path)]) == 1
    assert "no complete interval" in capsys.readouterr().err


def test_a_missing_file_is_a_clear_line(tmp_path, capsys):
    assert main([str(tmp_path / "nothing")]) == 1
    error = capsys.readouterr().err
    assert "no such file" in error.lower()
    assert len(error.splitlines()) == 1


def test_threads_come_from_config_yml_and_a_broken_one_does_not_stop_the_tracer(
    written, tmp_path, capsys
):
    config = tmp_path / "config.yml"
    config.write_text("op: [broken")
    assert main([str(written), "--busy", "--config", str(config)]) == 0
    shown = capsys.readouterr()
    assert "threads are not known" in shown.err
    assert "at work 90%" in " ".join(shown.out.split())
