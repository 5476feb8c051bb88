"""An op's worker and the requests that it fails on."""

from __future__ import annotations

import asyncio

from ops.config import Limits
from ops.errors import ErrorKind
from ops.executor import Executor
from ops.http_server import PipelineApp
from ops.lanes import Lanes
from ops.op import StageOp
from ops.runner import Timing
from ops.stage import Worker
from ops.task import Picture, Task


class Breaking(Worker):
    """Fails on batches that hold a marked task."""

    def run(self, tasks, timing):
        for task in tasks:
            if task.pictures[0].width == 13:
                raise RuntimeError("thirteen")
        for task in tasks:
            task.document = "done"


def task(width: int) -> Task:
    return Task([Picture(width=width)])


def test_one_failing_request_does_not_take_the_batch_along():
    op = StageOp("Breaking", [], [Breaking()], 8, Lanes(1))
    tasks = [task(1), task(13), task(2)]
    op._work(Breaking(), tasks, Timing())
    assert [t.document for t in tasks] == ["done", "", "done"]
    assert tasks[1].error is not None
    assert tasks[1].error.kind is ErrorKind.INTERNAL
    assert "thirteen" not in tasks[1].error.message


def test_an_op_knows_how_deep_in_the_dag_it_is():
    lanes = Lanes(1)
    first = StageOp("First", [], [Breaking()], 1, lanes)
    second = StageOp("Second", [first], [Breaking()], 1, lanes)
    assert second.depth == first.depth + 1


async def _receive():
    return {"type": "http.request", "body": b"{}", "more_body": False}


def test_a_fault_of_the_service_is_answered_with_its_number_and_no_traceback():
    class Config:
        limits = Limits()
        name = "ArcFace"

    class Faulty(Executor):
        def __init__(self):
            """Has none of what an executor has."""

    sent = []

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "path": "/ArcFace/prediction", "method": "POST", "headers": []}
    asyncio.run(PipelineApp(Config(), Faulty())(scope, _receive, send))
    assert sent[0]["status"] == 500
    assert str(ErrorKind.INTERNAL.code).encode() in sent[1]["body"]
    assert b"Traceback" not in sent[1]["body"]
