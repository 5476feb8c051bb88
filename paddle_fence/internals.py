"""What the service uses of Paddle Serving that is not meant for others; nothing else touches it.

`tests/project/test_paddle_internals.py` names each of these things and what is relied on.
"""

from __future__ import annotations

import logging
import logging.config
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

# Loggers of Paddle Serving: the first writes several lines a request, formatted whether they are
# written or not; the second is the tracer.
_CHATTY = "paddle_serving_server"
_TRACER = "paddle_serving_server.pipeline.profiler"


class Ends(NamedTuple):
    """The channels of a DAG that requests go into and come out of."""

    entrance: Any
    exit: Any


def executor_settings(most_requests: int, tracer_interval_s: int) -> dict[str, Any]:
    """What a ``DAGExecutor`` reads of a server's configuration: threads, channels without bounds.

    most_requests: in the DAG at a time; the tracer writes it down. tracer_interval_s: 0 for none.
    """
    return {
        "build_dag_each_worker": False,
        "worker_num": most_requests,
        "dag": {
            "retry": 1,
            "use_profile": False,
            "channel_size": 0,
            "channel_recv_frist_arrive": False,
            "is_thread_op": True,
            "tracer": {"interval_s": tracer_interval_s},
        },
    }


def channel_ends(executor: Any) -> Ends:
    """The two ends of a ``DAGExecutor``'s DAG, which has been built."""
    return Ends(executor._in_channel, executor._out_channel)


def stop_channels(executor: Any) -> None:
    """Have whoever waits at a channel of the DAG, or comes to one, get a ``ChannelStopError``."""
    for channel in executor._dag.get_channels():
        channel.stop()


def threads_of_ops(executor: Any) -> list[Any]:
    """The threads that the DAG's ops have started."""
    return list(executor._dag._threads_or_proces)


def input_channel(op: Any) -> Any:
    """The channel that an op reads; once its DAG starts it."""
    return op._get_input_channel()


def output_channels(op: Any) -> list[Any]:
    """The channels that an op writes to; once its DAG starts it."""
    channels: list[Any] = op._get_output_channels()
    return channels


def trace_buffer(owner: Any) -> Any:
    """The queue of what an op or a ``DAGExecutor`` tells the tracer; None where there is no tracer.

    An op puts ``{"name": its own, "actions": {...}}``: microseconds, above 0, of in, prep, midp,
    postp and out. An executor puts ``{"name": "DAG", "id": ..., "succ": ..., "actions":
    {"call_ID": microseconds}}``.
    """
    return None if owner._tracer is None else owner._tracer.data_buffer()


def items_waiting(channel: Any, reader: str) -> int:
    """Items that an op could take of a channel now, without being made to wait.

    Asking ``front`` with a short time-out instead costs a wait for Python's lock.
    """
    count = int(channel.size())
    if len(channel._consumer_cursors) > 1:
        # Of several ops that read a channel, the first to come moves an item to this buffer.
        read = channel._consumer_cursors[reader] - channel._base_cursor
        count += len(channel._output_buf) - read
    return count


def set_up_logs(
    level: str, max_bytes: int, backups: int, line: Mapping[str, Any] | None = None
) -> None:
    """Paddle Serving's log files with these sizes, and without its lines for every request.

    level: of the root logger, which is Paddle Serving's. line: the entry of `formatters` that its
    own form of lines is replaced by; the tracer's stays. The files are in the folder that
    ``SERVING_LOG_PATH`` named when Paddle Serving was imported, which this may be the first to do.
    """
    from paddle_serving_server.pipeline.logger import logger_config

    logger_config["root"]["level"] = level
    if line:
        logger_config["formatters"]["normal_fmt"] = dict(line)
    for handler in logger_config["handlers"].values():
        handler["maxBytes"] = max_bytes
        handler["backupCount"] = backups
        handler["delay"] = True
    logging.config.dictConfig(logger_config)
    logging.getLogger(_CHATTY).setLevel(logging.ERROR)
    logging.getLogger(_TRACER).setLevel(logging.INFO)


def run_tracer(
    interval_s: int, most_requests: int, channels: Sequence[Any], feed: Callable[[Any], None]
) -> None:
    """Run Paddle Serving's tracer over these channels here, with no time passing between blocks.

    feed: called with the tracer's queue before each block; its exception ends this.
    """
    from types import SimpleNamespace

    from paddle_serving_server.pipeline import profiler

    tracer = profiler.PerformanceTracer(True, interval_s, most_requests)
    profiler.time = SimpleNamespace(sleep=lambda _: feed(tracer.data_buffer()))
    feed(tracer.data_buffer())
    tracer._trace_func(channels)
