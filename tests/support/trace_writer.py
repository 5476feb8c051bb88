"""Text of Paddle Serving's own ``PerformanceTracer``, for a list of intervals.

Run as a program: it imports Paddle Serving, which takes over the root logger and the working
directory's log folder; a process of its own keeps the tests out of that. Reads from standard
input a JSON list of intervals, each a list of the items that ops and the DAG put into the tracer's
buffer, and writes ``PipelineServingLogs/pipeline.tracer`` into the directory that
``SERVING_LOG_PATH`` names.
"""

from __future__ import annotations

import datetime
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

INTERVAL_S = 10
ACTIONS = ("in", "prep", "midp", "postp", "out")


def op(name, *milliseconds):
    """What an op's thread reports after a batch: in, prep, midp, postp, out."""
    return {"name": name, "actions": dict(zip(ACTIONS, (ms * 1000 for ms in milliseconds)))}


def query(number, milliseconds, succ=True):
    """What the DAG reports after a request."""
    actions = {f"call_{number}": milliseconds * 1000}
    return {"name": "DAG", "id": number, "succ": succ, "actions": actions}


def write(directory: Path, intervals) -> Path:
    """The path of the file that the real tracer wrote for these intervals."""
    subprocess.run(
        [sys.executable, __file__],
        input=json.dumps(intervals).encode(),
        env={
            **os.environ,
            "SERVING_LOG_PATH": str(directory),
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        },
        cwd=directory,
        check=True,
        capture_output=True,
    )
    return directory / "PipelineServingLogs" / "pipeline.tracer"


def stamped(text: str, first: datetime.datetime, seconds=INTERVAL_S) -> str:
    """The text with its blocks at ``first`` and every ``seconds`` after it.

    seconds: or a list, of the time before each block but the first.
    """
    gaps = iter(seconds) if isinstance(seconds, list) else itertools.repeat(seconds)
    time, lines = None, []
    for line in text.splitlines(keepends=True):
        if "= TRACER =" in line:
            time = first if time is None else time + datetime.timedelta(seconds=next(gaps))
        assert time is not None
        lines.append(f"{time:%Y-%m-%d %H:%M:%S},{time.microsecond // 1000:03}{line[23:]}")
    return "".join(lines)


class EndOfIntervalsError(Exception):
    """Ends the tracer's endless loop."""


def main() -> None:
    """Runs the tracer's loop over the intervals, with no time passing between them."""
    from paddle_fence.internals import run_tracer
    from paddle_fence.pipeline import ThreadChannel

    intervals = iter(json.load(sys.stdin))

    def feed(queue):
        items = next(intervals, None)
        if items is None:
            raise EndOfIntervalsError
        for item in items:
            queue.put(item)

    first = ThreadChannel("first", 64)
    first.add_producer("@DAGExecutor")
    first.add_consumer("Detection")
    last = ThreadChannel("last", 0)
    for name in ("ArcFace", "Liveness"):
        last.add_producer(name)
    last.add_consumer("Response")
    first.put((0, None))
    try:
        run_tracer(INTERVAL_S, 20, [first, last], feed)
    except EndOfIntervalsError:
        return


if __name__ == "__main__":
    main()
