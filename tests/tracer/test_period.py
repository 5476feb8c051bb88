"""A period out of intervals: time covered, restarts, weights, bounds of percentiles."""

from __future__ import annotations

import datetime
import json
import random
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.support import trace_writer
from tests.support.trace_writer import op, query, stamped
from tracer import timeline
from tracer.__main__ import main
from tracer.parse import DagTimes, parse
from tracer.percentiles import pooled, rank
from tracer.period import summarise
from tracer.setup import OpSettings, Setup
from tracer.source import NothingFoundError, Range, course, parse_when, read

START = datetime.datetime(2026, 3, 1, 12)
FAST = [op("Detection", 99, 0, 1, 0, 0)] * 100 + [query(n, 5) for n in range(100)]
SLOW = [op("Detection", 1, 0, 9, 0, 0)] * 1000 + [
    query(n, 50 + n / 100, succ=n % 100 != 0) for n in range(1000)
]
ONE_THREAD = Setup({"Detection": OpSettings(concurrency=1, batch_size=2)}, cores=2)


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> str:
    """A start, a fast interval, a slow one ten times as busy, a silent one."""
    intervals = [[], FAST, SLOW, []]
    return trace_writer.write(tmp_path_factory.mktemp("trace"), intervals).read_text()


def slices_of(text: str, seconds=10):
    return timeline.place(parse(stamped(text, START, seconds).splitlines()))


def percentiles_of(values: list[float]) -> dict[int, float]:
    ordered = sorted(values)
    return {p: ordered[rank(len(values), p)] for p in (50, 60, 70, 80, 90, 95, 99)}


def test_counts_add_up_and_the_start_covers_no_time(text):
    period = summarise(slices_of(text), ONE_THREAD)
    assert (period.queries, period.failed, period.intervals, period.seconds) == (1100, 10, 3, 30)
    assert period.qps == pytest.approx(1100 / 30)
    assert (period.begin, period.end) == (START, START + datetime.timedelta(seconds=30))


def test_the_mean_latency_is_weighted_by_queries(text):
    period = summarise(slices_of(text), ONE_THREAD)
    assert period.latency_ms == pytest.approx((100 * 5 + 1000 * 54.995) / 1100)


def test_times_of_an_op_are_weighted_by_its_batches_and_its_load_by_time(text):
    (detection,) = summarise(slices_of(text), ONE_THREAD).ops
    assert detection.ms["midp"] == pytest.approx((100 * 1 + 1000 * 9) / 1100)
    assert detection.load == pytest.approx((0.01 + 0.9 + 0) / 3)
    assert detection.requests == pytest.approx(1.0)


def test_full_batches_are_seen(tmp_path):
    items = [op("Detection", 0, 0, 10, 0, 0)] * 1000 + [query(n, 20) for n in range(2000)]
    text = trace_writer.write(tmp_path, [[], items]).read_text()
    (detection,) = summarise(slices_of(text), ONE_THREAD).ops
    assert detection.requests == pytest.approx(2.0)


def test_intervals_are_as_long_as_they_were_and_not_as_they_were_set(text):
    period = summarise(slices_of(text, [12.5, 12.5, 12.5]), ONE_THREAD)
    assert period.seconds == 37.5


def test_the_time_between_two_runs_is_not_covered(text):
    slices = slices_of(text + text, [10, 10, 10, 3600, 10, 10, 10])
    period = summarise(slices, ONE_THREAD)
    assert [one.starts for one in slices] == [True, False, False, False] * 2
    assert (period.seconds, period.restarts, period.queries) == (60, 1, 2200)


def test_a_quick_restart_is_one(text):
    period = summarise(slices_of(text + text, [10, 10, 10, 4, 10, 10, 10]), ONE_THREAD)
    assert (period.seconds, period.restarts) == (60, 1)


def test_a_block_cut_off_by_a_kill_is_left_out_and_the_next_is_a_start(text):
    cut = text.rindex("DAGExecutor:")
    period = summarise(slices_of(text[:cut] + "\n" + text, [10, 10, 10, 10, 10, 10]), ONE_THREAD)
    assert (period.queries, period.restarts, period.intervals) == (1200, 1, 4)


def test_an_hour_of_silence_spoils_neither_load_nor_length(tmp_path):
    """Ten seconds of work at the limit, after a wait of an hour that the first batch reports."""
    work = [op("Detection", 0.001, 0, 10, 0, 0)] * 999
    items = [op("Detection", 3_600_000, 0, 10, 0, 0), *work, *(query(n, 50) for n in range(1000))]
    text = trace_writer.write(tmp_path, [[], items]).read_text()
    setup = Setup({"Detection": OpSettings(concurrency=1, batch_size=1)})
    assert summarise(slices_of(text), setup).ops[0].load == pytest.approx(1.0)


def test_a_single_early_request_is_no_load(tmp_path):
    """Its thread worked half of the time that it reports, and waits through the rest."""
    items = [op("Detection", 50, 0, 50, 0, 0), query(1, 60)]
    text = trace_writer.write(tmp_path, [[], items]).read_text()
    setup = Setup({"Detection": OpSettings(concurrency=1)})
    assert summarise(slices_of(text), setup).ops[0].load <= 0.01


def test_percentiles_of_one_interval_are_exact():
    latencies = [float(n) for n in range(1, 201)]
    found = pooled([DagTimes(200, percentiles=percentiles_of(latencies))])
    for percent, value in percentiles_of(latencies).items():
        assert (found[percent].low, found[percent].value, found[percent].high) == (value,) * 3


@pytest.mark.parametrize("seed", range(30))
def test_the_true_percentile_of_a_period_lies_within_the_bounds(seed):
    chance = random.Random(seed)
    intervals = [
        [
            chance.lognormvariate(chance.choice([1, 3, 5]), 0.6)
            for _ in range(chance.randint(1, 400))
        ]
        for _ in range(chance.randint(2, 30))
    ]
    found = pooled([DagTimes(len(one), percentiles=percentiles_of(one)) for one in intervals])
    for percent, value in percentiles_of([v for one in intervals for v in one]).items():
        estimate = found[percent]
        assert estimate.low <= value <= estimate.high
        assert estimate.low <= estimate.value <= estimate.high


def test_the_estimate_is_near_where_intervals_are_alike():
    chance = random.Random(1)
    intervals = [[chance.lognormvariate(3, 0.5) for _ in range(300)] for _ in range(40)]
    found = pooled([DagTimes(len(one), percentiles=percentiles_of(one)) for one in intervals])
    for percent, value in percentiles_of([v for one in intervals for v in one]).items():
        assert found[percent].value == pytest.approx(value, rel=0.1)


def test_a_busy_interval_outweighs_a_quiet_one():
    quiet = DagTimes(10, percentiles=percentiles_of([5.0] * 10))
    busy = DagTimes(1000, percentiles=percentiles_of([90.0] * 1000))
    assert pooled([quiet, busy])[60].low == 90.0


def test_the_period_is_counted_back_from_the_newest_block(text, tmp_path):
    path = tmp_path / "pipeline.tracer"
    path.write_text(stamped(text, START))
    reading = read([path], Range(span=datetime.timedelta(seconds=15)), ONE_THREAD)
    assert (reading.period.queries, reading.last.queries) == (1000, 0)
    assert read([path], Range(), ONE_THREAD).period.queries == 1100


def test_a_period_has_a_beginning_and_an_end(text, tmp_path):
    path = tmp_path / "pipeline.tracer"
    path.write_text(stamped(text, START))
    until = START + datetime.timedelta(seconds=10)
    assert read([path], Range(until=until), ONE_THREAD).period.queries == 100
    assert read([path], Range(since=until), ONE_THREAD).period.queries == 1000
    with pytest.raises(NothingFoundError, match="no interval after"):
        read([path], Range(since=START + datetime.timedelta(hours=1)), ONE_THREAD)


def test_busy_ends_the_period_with_the_last_queries(text, tmp_path):
    path = tmp_path / "pipeline.tracer"
    silence = text[text.rindex("\n", 0, text.rindex("= TRACER =")) + 1 :]
    path.write_text(stamped(text + silence * 400, START))
    span = datetime.timedelta(seconds=15)
    reading = read([path], Range(span=span), ONE_THREAD, busy=True)
    assert (reading.last.queries, reading.period.queries) == (1000, 1100)


def test_a_period_goes_on_over_rotations_with_a_block_cut_by_one(text, tmp_path):
    path = tmp_path / "pipeline.tracer"
    whole = stamped(text, START)
    third = whole.index("\n", len(whole) // 3) + 1
    Path(f"{path}.2").write_text(whole[:third])
    Path(f"{path}.1").write_text(whole[third : 2 * third])
    path.write_text(whole[2 * third :])
    period = read([path], Range(), ONE_THREAD).period
    assert (period.queries, period.intervals, period.restarts) == (1100, 3, 0)


def test_processes_side_by_side_are_added(text, tmp_path):
    paths = [tmp_path / "one", tmp_path / "two"]
    paths[0].write_text(stamped(text, START))
    paths[1].write_text(stamped(text, START + datetime.timedelta(seconds=3)))
    reading = read(paths, Range(), ONE_THREAD)
    one = summarise(slices_of(text), ONE_THREAD)
    assert (reading.period.processes, reading.period.seconds) == (2, 30)
    assert reading.period.qps == pytest.approx(2 * one.qps)
    assert reading.period.ops[0].load == pytest.approx(one.ops[0].load)
    assert reading.period.busy_cores == pytest.approx(2 * one.busy_cores)
    assert sum(point.queries for point in course(reading, ONE_THREAD, 2) if point) == 2200


def test_the_files_of_all_replicas_are_found(text, tmp_path, capsys):
    settings = yaml.safe_load((ROOT / "config.yml").read_text())
    settings.update(replicas=3)
    settings["log"]["dir"] = str(tmp_path)
    (tmp_path / "config.yml").write_text(yaml.safe_dump(settings))
    for place in (tmp_path, tmp_path / "replica-2"):  # the one in between has not started yet
        path = place / "PipelineServingLogs" / "pipeline.tracer"
        path.parent.mkdir(parents=True)
        path.write_text(stamped(text, START))
    assert main(["--config", str(tmp_path / "config.yml"), "--all", "--json"]) == 0
    period = json.loads(capsys.readouterr().out)["period"]
    assert (period["processes"], period["queries"], period["seconds"]) == (2, 2200, 30)


def test_a_course_has_a_gap_where_no_process_ran_and_keeps_to_its_length(text, tmp_path):
    path = tmp_path / "pipeline.tracer"
    path.write_text(stamped(text + text, START, [10, 10, 10, 3600, 10, 10, 10]))
    reading = read([path], Range(), ONE_THREAD)
    queries = [point and point.queries for point in course(reading, ONE_THREAD, 100)]
    assert queries == [100, 1000, 0, None, 100, 1000, 0]
    assert len(course(reading, ONE_THREAD, 2)) == 3


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", datetime.timedelta(seconds=90)),
        ("10m", datetime.timedelta(minutes=10)),
        ("1.5h", datetime.timedelta(hours=1.5)),
        ("2d", datetime.timedelta(days=2)),
        ("11:30", datetime.datetime(2026, 3, 1, 11, 30)),
        ("9:30", datetime.datetime(2026, 3, 1, 9, 30)),
        ("23:59:59", datetime.datetime(2026, 2, 28, 23, 59, 59)),
        ("2026-01-31T14:30", datetime.datetime(2026, 1, 31, 14, 30)),
    ],
)
def test_durations_and_times_are_understood(text, expected):
    assert parse_when(text, START) == expected


@pytest.mark.parametrize("text", ["", "m", "10", "10x", "25:00", "-5m", "yesterday"])
def test_other_words_are_not(text):
    with pytest.raises(ValueError):  # noqa: PT011 - the texts are Python's
        parse_when(text, START)
