"""An op's worker and the requests that it fails on."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from inference.runner import Timing
from ops.errors import ErrorKind
from ops.figures import Figures
from ops.request_state import Picture, RequestState
from ops.serving.executor import Executor
from ops.serving.http_server import PipelineApp
from ops.serving.scheduler import Scheduler
from ops.serving.stage_op import Envelope, StageOp
from ops.worker import Worker
from settings.config import Limits


class Breaking(Worker):
    """Fails on batches that hold a marked request."""

    def run(self, requests, timing):
        for request in requests:
            if request.pictures[0].width == 13:
                raise RuntimeError("thirteen")
        for request in requests:
            request.document = "done"


def request_of(width: int) -> RequestState:
    return RequestState([Picture(width=width)])


def test_one_failing_request_does_not_take_the_batch_along():
    op = StageOp("Breaking", [], [Breaking()], 8, Scheduler(1), Figures(0))
    requests = [request_of(1), request_of(13), request_of(2)]
    op._work(Breaking(), requests, Timing())
    assert [t.document for t in requests] == ["done", "", "done"]
    assert requests[1].error is not None
    assert requests[1].error.kind is ErrorKind.INTERNAL
    assert "thirteen" not in requests[1].error.message


def test_an_op_knows_how_deep_in_the_dag_it_is():
    scheduler = Scheduler(1)
    first = StageOp("First", [], [Breaking()], 1, scheduler, Figures(0))
    second = StageOp("Second", [first], [Breaking()], 1, scheduler, Figures(0))
    assert second.depth == first.depth + 1


class Postponing(Worker):
    """Postpones requests of width 0 until it is told otherwise."""

    def __init__(self):
        self.waits = True
        self.forgotten = []

    def can_resume(self, request):
        return not self.waits

    def give_up(self, request):
        self.forgotten.append(request)

    def run(self, requests, timing):
        for request in requests:
            request.postponed = self.waits and request.pictures[0].width == 0


class Channel:
    """An input with items, and an output that keeps what comes."""

    _consumer_cursors = ("one",)

    def __init__(self, requests=()):
        self.items = [Envelope(number, request) for number, request in enumerate(requests)]

    def size(self):
        return len(self.items)

    def front(self, name):
        return {"before": self.items.pop(0)}

    def push(self, item, name):
        self.items.append(item)


def run_all(op, worker):
    while op.queued():
        op.step(worker, op.take())


def op_of(worker, requests):
    op = StageOp("Postponing", [], [worker], 1, Scheduler(1), Figures(0))
    op._input, op._outputs, op._trace = Channel(requests), [Channel()], None
    return op, op._outputs[0].items


def test_items_pass_one_that_was_postponed():
    worker = Postponing()
    requests = [request_of(0), request_of(1), request_of(0), request_of(2)]
    op, passed = op_of(worker, requests)
    run_all(op, worker)
    assert [item.request for item in passed] == [requests[1], requests[3]]
    worker.waits = False
    run_all(op, worker)
    assert [item.request for item in passed] == [requests[1], requests[3], requests[0], requests[2]]


def test_a_postponed_item_that_nobody_waits_for_is_passed_on_and_forgotten():
    worker = Postponing()
    requests = [request_of(0), request_of(0)]
    op, passed = op_of(worker, requests)
    run_all(op, worker)
    assert not passed
    requests[1].cancelled = True
    run_all(op, worker)
    assert [item.request for item in passed] == [requests[1]]
    assert worker.forgotten == [requests[1]]


def test_postponed_items_and_new_ones_take_turns():
    class InTurns(Postponing):
        order: ClassVar[list[int]] = []

        def can_resume(self, request):
            return True

        def run(self, requests, timing):
            for one in requests:
                self.order.append(one.pictures[0].width)
                one.pictures[0].height += 1
                one.postponed = one.pictures[0].width == 0 and one.pictures[0].height < 4

    worker = InTurns()
    op, passed = op_of(worker, [request_of(0), *(request_of(width) for width in range(1, 6))])
    run_all(op, worker)
    assert worker.order == [0, 0, 1, 0, 2, 0, 3, 4, 5] or worker.order == [
        0,
        1,
        0,
        2,
        0,
        3,
        0,
        4,
        5,
    ]
    assert len(passed) == 6


def test_work_that_finds_no_memory_makes_the_service_busy():
    class Hungry(Worker):
        def run(self, requests, timing):
            raise MemoryError

    op = StageOp("Hungry", [], [Hungry()], 8, Scheduler(1), Figures(0))
    requests = [request_of(1), request_of(2)]
    op._work(Hungry(), requests, Timing())
    assert {t.error.kind for t in requests} == {ErrorKind.BUSY}


async def _receive():
    return {"type": "http.request", "body": b"{}", "more_body": False}


def test_a_fault_of_the_service_is_answered_with_its_number_and_no_traceback():
    class Config:
        limits = Limits()
        name = "ArcFace"
        http_host = "127.0.0.1"

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
