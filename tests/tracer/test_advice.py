"""What limits a period, and what is advised: sound for the cores, devices, batches and queues."""

from __future__ import annotations

import datetime
import re

import pytest

from settings.config import load_config
from tests.conftest import ROOT
from tests.support import trace_writer
from tests.support.trace_writer import op, query, stamped
from tracer import timeline
from tracer.analyse import judge, judge_reading
from tracer.parse import ACTIONS, Interval, parse
from tracer.period import OpPeriod, Period, Queue, summarise
from tracer.setup import OpSettings, Setup, cores_here, setup_of
from tracer.source import Range, read

START = datetime.datetime(2026, 3, 1, 12)


def ops_of(**loads) -> list[OpPeriod]:
    """Ops by name: load, work in prep, midp and postp (ms), settings, requests a batch."""
    made = []
    for name, (load, work, settings, *requests) in loads.items():
        ms = dict(zip(ACTIONS, (1.0, *work, 0.0)))
        made.append(OpPeriod(name, ms, load, requests[0] if requests else None, settings))
    return made


def period_of(ops, latency_ms=30.0, queries=400, queues=(), failed=0) -> Period:
    end = START + datetime.timedelta(seconds=10)
    return Period(
        START, end, 10.0, 1, 0, 1, queries, failed, latency_ms, {}, list(ops), list(queues)
    )


def queue(name, mean, first=None, last=None) -> Queue:
    return Queue((name,), mean, round(mean), first or mean, last or mean, 0)


def changes(verdict) -> dict:
    return {change.key: change.value for change in verdict.changes}


def test_one_busy_thread_with_a_core_free_gets_a_second(tmp_path):
    items = [op("Detection", 0.1, 1, 8, 1, 0)] * 970 + [query(n, 12) for n in range(970)]
    path = trace_writer.write(tmp_path, [[], items])
    setup = Setup({"Detection": OpSettings(concurrency=1)}, cores=2)
    verdict = judge(read([path], Range(), setup).last, setup)
    assert verdict.state == "limited"
    assert changes(verdict) == {"op.Detection.concurrency": 2}
    assert "its one thread is at work 97% of the time, mostly in midp" in verdict.sentence
    assert "set op.Detection.concurrency: 2 (now 1)" in verdict.sentence


def test_more_threads_are_not_advised_where_all_cores_are_at_work():
    ops = ops_of(Detection=(0.95, (1, 8, 1), OpSettings(concurrency=2)))
    verdict = judge(period_of(ops), Setup(cores=2))
    assert verdict.state == "processor"
    assert not [key for key in changes(verdict) if "concurrency" in key]
    assert "more threads won't help" in verdict.sentence
    assert re.search(
        "faster model.*fewer or smaller pictures.*more cores.*replicas", verdict.sentence
    )


def test_threads_are_doubled_at_most_and_not_beyond_the_cores_that_are_free():
    def wanted(cores, concurrency):
        ops = ops_of(Detection=(0.9, (1, 8, 1), OpSettings(concurrency=concurrency)))
        return changes(judge(period_of(ops), Setup(cores=cores)))["op.Detection.concurrency"]

    assert wanted(cores=64, concurrency=4) == 8
    assert wanted(cores=6, concurrency=4) == 6
    assert wanted(cores=64, concurrency=48) == 64


def test_math_threads_count_as_cores_at_work_and_too_many_are_named():
    ops = ops_of(Detection=(0.9, (0, 10, 0), OpSettings(concurrency=2, threads=4)))
    verdict = judge(period_of(ops), Setup(cores=4))
    assert verdict.state == "processor"
    assert verdict.busy_cores == pytest.approx(7.2)
    assert changes(verdict) == {"op.Detection.threads": 2}


def test_work_spread_over_ops_is_limited_by_the_processor():
    settings = OpSettings(concurrency=2, batch_size=8)
    ops = ops_of(Detection=(0.5, (0, 5, 0), settings), ArcFace=(0.6, (0, 6, 0), settings))
    verdict = judge(period_of(ops), Setup(cores=2))
    assert (verdict.state, verdict.op, changes(verdict)) == ("processor", "ArcFace", {})
    assert "2.2 threads are at work on 2 cores, 55% of that in ArcFace" in verdict.sentence


@pytest.mark.parametrize(
    ("settings", "requests", "expected"),
    [
        (OpSettings(2, batch_size=4), 3.9, {"op.ArcFace.batch_size": 8}),
        (OpSettings(2, batch_size=4), 1.5, {}),
        (OpSettings(2, batch_size=1, max_batch=1), 1.0, {}),
        (OpSettings(2, batch_size=1, model=False), 1.0, {}),
    ],
    ids=["full", "not full", "a model for single samples", "no model"],
)
def test_larger_batches_are_advised_only_where_they_are_full_and_possible(
    settings, requests, expected
):
    ops = ops_of(ArcFace=(0.97, (0, 6, 0), settings, requests))
    assert changes(judge(period_of(ops), Setup(cores=2))) == expected


def test_an_op_on_a_gpu_does_not_count_as_work_of_the_processor():
    ops = ops_of(Detection=(0.5, (0, 15, 0), OpSettings(4, devices=("0",))))
    verdict = judge(period_of(ops), Setup(cores=1))
    assert (verdict.state, verdict.busy_cores) == ("light", 0)


def test_an_op_at_its_limit_on_a_gpu_gets_larger_batches():
    ops = ops_of(Detection=(0.95, (1, 8, 1), OpSettings(2, 4, devices=("0",)), 3.8))
    verdict = judge(period_of(ops), Setup(cores=16))
    assert changes(verdict) == {"op.Detection.batch_size": 8}


def test_a_gpu_that_pauses_gets_a_thread_more_and_one_that_does_not_a_second_gpu():
    def verdict(load, concurrency):
        settings = OpSettings(concurrency, 8, devices=("0",))
        ops = ops_of(Detection=(load, (2, 6, 2), settings, 2.0))
        return judge(period_of(ops), Setup(cores=16))

    assert changes(verdict(0.95, 1)) == {"op.Detection.concurrency": 2}
    full = verdict(0.95, 3)
    assert changes(full) == {}
    assert "more threads won't help. A further GPU in op.Detection.devices (now 0)" in full.sentence


def test_an_op_on_a_gpu_that_mostly_prepares_gets_threads_and_not_batches():
    ops = ops_of(Detection=(0.95, (8, 1, 1), OpSettings(1, 4, devices=("0",)), 4.0))
    verdict = judge(period_of(ops), Setup(cores=16))
    assert changes(verdict) == {"op.Detection.concurrency": 2}


def test_a_queue_that_stands_and_grows_before_an_op_with_cores_free_gets_it_threads():
    ops = ops_of(Detection=(0.7, (1, 8, 1), OpSettings(2)))
    verdict = judge(period_of(ops, queues=[queue("Detection", 20, 2, 41)]), Setup(cores=8))
    assert (verdict.state, verdict.op) == ("limited", "Detection")
    assert changes(verdict) == {"op.Detection.concurrency": 4}
    assert "with 20 requests queued before it" in verdict.sentence
    assert "The queue before Detection grew from 2 to 41." in verdict.notes


def test_threads_that_idle_before_a_queue_wait_for_the_lock():
    ops = ops_of(Detection=(0.2, (1, 8, 1), OpSettings(2)))
    verdict = judge(period_of(ops, 400.0, queues=[queue("Detection", 20)]), Setup(cores=8))
    assert verdict.state == "outside"
    assert changes(verdict) == {}


def test_requests_that_wait_outside_the_ops_are_noticed():
    ops = ops_of(Detection=(0.2, (1, 8, 1), OpSettings(2)))
    verdict = judge(period_of(ops, latency_ms=120), Setup(cores=8))
    assert verdict.state == "outside"
    assert "they take 120 ms, the work in all ops 10 ms; the queues are empty" in verdict.sentence
    assert "Python's interpreter lock" in verdict.sentence
    assert changes(verdict) == {}
    verdict = judge(period_of(ops, latency_ms=120), Setup(cores=8, replicas=2))
    assert changes(verdict) == {"replicas": 3}
    assert "another process would: set replicas: 3 (now 2)" in verdict.sentence
    crowded = judge(period_of(ops, latency_ms=120), Setup(cores=2, replicas=2))
    assert changes(crowded) == {}
    assert "More threads won't help" in verdict.sentence


def test_many_threads_in_python_are_told_how_to_find_out_about_the_lock():
    ops = ops_of(Request=(0.9, (9, 0, 1), OpSettings(2, model=False)))
    verdict = judge(period_of(ops), Setup(cores=8))
    assert changes(verdict) == {"op.Request.concurrency": 4}
    assert "If that does not raise the throughput" in verdict.sentence


def test_a_little_load_limits_nothing():
    ops = ops_of(ArcFace=(0.2, (1, 8, 1), OpSettings(2)))
    verdict = judge(period_of(ops), Setup(cores=2))
    assert (verdict.state, changes(verdict)) == ("light", {})
    assert "the busiest, ArcFace, was at work 20% of the time" in verdict.sentence


def test_a_full_service_and_failures_are_noted():
    ops = ops_of(Detection=(0.9, (1, 8, 1), OpSettings(1)))
    period = period_of(ops, latency_ms=1600, queries=400, failed=3)
    notes = judge(period, Setup(cores=8, queue_length=64)).notes
    assert "3 of 400 requests failed." in notes
    assert any("64 that limits.queue_length allows" in note for note in notes)


def test_settings_that_are_not_known_are_not_invented():
    verdict = judge(period_of(ops_of(Detection=(0.9, (1, 8, 1), None))), Setup())
    assert changes(verdict) == {}
    assert "it is at work 90% of the time" in verdict.sentence


def test_silence_and_refusals_before_the_first_op_are_told_apart():
    assert "idle" in judge(period_of([], None, queries=0), Setup()).sentence
    assert "every query was refused" in judge(period_of([], 1.0, queries=3), Setup()).sentence


def test_a_rush_is_not_hidden_by_the_quiet_hours_around_it(tmp_path):
    rush = [op("Detection", 0.1, 0, 9.9, 0, 0)] * 1000 + [query(n, 12) for n in range(1000)]
    quiet = [op("Detection", 9990, 0, 10, 0, 0), query(1, 12)]
    text = trace_writer.write(tmp_path, [[], *[quiet] * 6, rush, rush, *[quiet] * 7]).read_text()
    path = tmp_path / "pipeline.tracer"
    path.write_text(stamped(text, START))
    setup = Setup({"Detection": OpSettings(concurrency=1)}, cores=4)
    reading = read([path], Range(), setup)
    assert judge(reading.period, setup).state == "light"
    verdict = judge_reading(reading, setup)
    assert verdict.state == "limited"
    assert changes(verdict) == {"op.Detection.concurrency": 2}
    assert "But in 13% of the time: Detection limits the throughput" in verdict.sentence


def test_the_setup_comes_from_config_yml_and_the_machine():
    setup = setup_of(load_config(ROOT / "config.yml"), cores_here())
    assert setup.cores >= 1
    assert setup.ops["Detection"].on_cpu
    assert not setup.ops["Request"].model
    assert setup.queue_length == load_config(ROOT / "config.yml").limits.queue_length


def test_an_empty_interval_can_be_judged():
    (one,) = timeline.place([Interval(START, workers=1)])
    assert judge(summarise([one], Setup()), Setup()).state == "idle"
    assert list(parse([])) == []
