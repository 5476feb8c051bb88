"""What is relied on of Paddle Serving's internals: fails where another version has them otherwise.

Each private name that `paddle_fence/internals.py` touches is in `PRIVATE`, with what it stands for.
"""

from __future__ import annotations

import importlib
import inspect
import logging.config
import logging.handlers
import queue
import threading
import time
from pathlib import Path

import pytest

from ops.request_state import RequestState
from ops.serving.executor import Executor
from ops.serving.stage_op import Envelope, StageOp
from paddle_fence import internals
from paddle_fence.pipeline import (
    ChannelData,
    ChannelStopError,
    DAGExecutor,
    Op,
    RequestOp,
    ResponseOp,
    ThreadChannel,
)
from tests.support import trace_writer
from tests.support.private_names import own_names, touched

PRIVATE = {
    "_in_channel": "DAGExecutor: the channel of the first op, pushed to under the executor's name",
    "_out_channel": "DAGExecutor: the channel behind the last op, read under the executor's name",
    "_dag": "DAGExecutor: its DAG, whose get_channels() are all of its channels",
    "_threads_or_proces": "DAG: what the ops' start_with_thread has returned, joined",
    "_get_input_channel": "Op: the one channel that it reads",
    "_get_output_channels": "Op: the channels that it writes to",
    "_tracer": "Op and DAGExecutor: a PerformanceTracer, or None",
    "_consumer_cursors": "ThreadChannel: of each reader, how many items it has read",
    "_base_cursor": "ThreadChannel: how many items all of its readers have read",
    "_output_buf": "ThreadChannel: items that some of its readers have read, and not all",
    "_trace_func": "PerformanceTracer: writes a block of the given channels and sleeps, for ever",
}


class Idle(Op):
    """Starts a thread that ends at once."""

    def start_with_thread(self):
        thread = threading.Thread(target=time.monotonic)
        thread.start()
        return [thread]


def diamond(tracer_interval_s=0):
    """An executor whose second op is read by two, which feed one; and the ops by name."""
    first = Idle("First", [RequestOp()], concurrency=1, batch_size=1)
    left = Idle("Left", [first], concurrency=1, batch_size=1)
    right = Idle("Right", [first], concurrency=1, batch_size=1)
    last = Idle("Last", [left, right], concurrency=1, batch_size=1)
    settings = internals.executor_settings(7, tracer_interval_s)
    executor = DAGExecutor(ResponseOp(input_ops=[last]), settings, -1)
    return executor, {op.name: op for op in (first, left, right, last)}


def test_every_private_name_that_is_touched_is_in_the_list():
    assert touched(Path(internals.__file__)) == set(PRIVATE)


def test_no_other_module_touches_a_private_name_of_the_list():
    root = Path(internals.__file__).parents[1]
    product = [*root.glob("ops/**/*.py"), *root.glob("bench/**/*.py")]
    product += set(root.glob("paddle_fence/*.py")) - {Path(internals.__file__)}
    assert len(product) > 100
    names = set(PRIVATE) - {"_tracer"}  # which is no rare name
    assert {file: found for file in product if (found := touched(file) & names)} == {}


def test_a_dag_is_built_of_the_settings_and_starts_its_ops_threads():
    executor, ops = diamond()
    threads = internals.threads_of_ops(executor)
    assert len(threads) == len(ops)
    assert all(isinstance(thread, threading.Thread) for thread in threads)
    ends = internals.channel_ends(executor)
    assert ends.entrance is internals.input_channel(ops["First"])
    assert internals.output_channels(ops["Last"]) == [ends.exit]
    assert isinstance(ends.entrance, ThreadChannel)
    assert ends.entrance.get_maxsize() == 0
    assert executor.name in ends.exit.get_consumers()


def test_an_item_goes_through_the_dag_by_reference_and_is_counted_where_it_waits():
    executor, ops = diamond()
    ends = internals.channel_ends(executor)
    item = Envelope(1, RequestState([]))
    ends.entrance.push(item, executor.name)
    assert ends.entrance.front("First", 1) == {executor.name: item}
    (shared,) = internals.output_channels(ops["First"])
    assert shared is internals.input_channel(ops["Left"]) is internals.input_channel(ops["Right"])
    assert [internals.items_waiting(shared, name) for name in ("Left", "Right")] == [0, 0]
    shared.push(item, "First")
    assert [internals.items_waiting(shared, name) for name in ("Left", "Right")] == [1, 1]
    assert shared.front("Left", 1)["First"] is item
    assert [internals.items_waiting(shared, name) for name in ("Left", "Right")] == [0, 1]
    assert shared.front("Right", 1)["First"] is item
    assert [internals.items_waiting(shared, name) for name in ("Left", "Right")] == [0, 0]
    joined = internals.input_channel(ops["Last"])
    joined.push(item, "Left")
    assert internals.items_waiting(joined, "Last") == 0
    joined.push(item, "Right")
    assert internals.items_waiting(joined, "Last") == 1
    both = joined.front("Last", 1)
    assert set(both) == {"Left", "Right"}
    assert all(one is item for one in both.values())


def test_items_of_one_reader_wait_until_the_other_has_read_as_many():
    _, ops = diamond()
    (shared,) = internals.output_channels(ops["First"])
    for number in range(5):
        shared.push(Envelope(number, RequestState([])), "First")
    for _ in range(3):
        shared.front("Left", 1)
    shared.front("Right", 1)
    assert internals.items_waiting(shared, "Left") == 2
    assert internals.items_waiting(shared, "Right") == 4


def test_items_come_in_the_order_of_their_ids():
    executor, _ = diamond()
    entrance = internals.channel_ends(executor).entrance
    for number in (3, 1, 2):
        entrance.push(Envelope(number, RequestState([])), executor.name)
    taken = [entrance.front("First", 1)[executor.name].id for _ in range(3)]
    assert taken == [1, 2, 3]


def test_whoever_waits_at_a_channel_that_is_stopped_is_told_and_so_is_whoever_comes():
    executor, ops = diamond()
    told = []

    def wait():
        try:
            internals.input_channel(ops["Last"]).front("Last")
        except ChannelStopError:
            told.append("told")

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    internals.stop_channels(executor)
    thread.join(5)
    assert told == ["told"]
    entrance, out = internals.channel_ends(executor)
    with pytest.raises(ChannelStopError):
        out.front(executor.name)
    with pytest.raises(ChannelStopError):
        entrance.push(Envelope(1, RequestState([])), executor.name)


def test_without_an_interval_there_is_no_tracer():
    executor, ops = diamond()
    assert internals.trace_buffer(executor) is None
    assert internals.trace_buffer(ops["First"]) is None


def test_with_an_interval_the_ops_and_the_executor_share_the_tracers_queue():
    executor, ops = diamond(tracer_interval_s=3600)
    buffers = {id(internals.trace_buffer(one)) for one in (executor, *ops.values())}
    assert len(buffers) == 1
    assert isinstance(internals.trace_buffer(executor), queue.Queue)


def test_the_tracer_writes_a_block_of_what_the_ops_and_the_executor_told_it(tmp_path):
    blocks = [
        [{"name": "Detection", "actions": dict.fromkeys(("in", "midp", "out"), 1000)}],
        [{"name": "DAG", "id": 3, "succ": False, "actions": {"call_3": 2000}}],
    ]
    text = trace_writer.write(tmp_path, blocks).read_text()
    assert text.count("= TRACER =") == len(blocks)
    lines = {line.strip() for line in text.splitlines()}
    expected = ("Op(Detection):", "midp[1.0 ms]", "DAGExecutor:", "Succ[0.0]", "Error req[3]")
    for one in (*expected, "QPS[0.1 q/s]", "Channel (server worker num[20]):"):
        assert any(line.endswith(one) for line in lines), one


def test_the_log_files_take_their_sizes(monkeypatch):
    logger = importlib.import_module("paddle_serving_server.pipeline.logger")
    logger_config = logger.logger_config
    set_up = {}
    monkeypatch.setattr(logging.config, "dictConfig", set_up.update)
    monkeypatch.setitem(logger_config, "root", dict(logger_config["root"]))
    kept = {name: dict(handler) for name, handler in logger_config["handlers"].items()}
    monkeypatch.setitem(logger_config, "handlers", kept)
    monkeypatch.setitem(logger_config, "formatters", dict(logger_config["formatters"]))
    internals.set_up_logs("WARNING", 1234, 5, {"format": "%(message)s"})
    assert set_up["formatters"]["normal_fmt"] == {"format": "%(message)s"}
    assert set_up["formatters"]["tracer_fmt"] == {"format": "%(asctime)s %(message)s"}
    for name in ("f_pipeline.log", "f_pipeline.log.wf"):
        assert set_up["handlers"][name]["formatter"] == "normal_fmt"
    assert set_up["handlers"]["f_tracer.log"]["formatter"] == "tracer_fmt"
    assert set_up["root"]["level"] == "WARNING"
    names = {Path(handler["filename"]).name for handler in set_up["handlers"].values()}
    assert names == {"pipeline.log", "pipeline.log.wf", "pipeline.tracer"}
    for handler in set_up["handlers"].values():
        kind = logging.handlers.RotatingFileHandler
        assert handler["class"] == f"{kind.__module__}.{kind.__name__}"
        assert (handler["maxBytes"], handler["backupCount"]) == (1234, 5)
    assert list(set_up["loggers"]) == ["paddle_serving_server.pipeline.profiler"]


@pytest.mark.parametrize(
    ("ours", "theirs", "meant"),
    [
        # The channels are the same ones under the same names.
        (StageOp, Op, {"__init__", "name", "start_with_thread", "_input", "_outputs"}),
        (Executor, DAGExecutor, {"__init__", "start", "stop"}),
        (Envelope, ChannelData, {"__init__"}),
    ],
)
def test_our_classes_replace_nothing_of_their_parents_but_what_they_mean_to(ours, theirs, meant):
    replaced = own_names(ours) & (own_names(theirs) | set(dir(theirs)) - set(dir(object)))
    assert replaced <= meant
    assert "start_with_thread" not in meant or "start_with_thread" in replaced


def test_the_constructors_take_what_they_are_given():
    inspect.signature(Op).bind(name="A", input_ops=[], concurrency=1, batch_size=1)
    inspect.signature(DAGExecutor).bind(None, {}, -1)
    inspect.signature(ResponseOp).bind(input_ops=[])
    inspect.signature(ChannelData).bind(0, dictdata={}, data_id=1)
