"""The scheduler: no more threads at work than cores, batches that fill, nothing forgotten."""

from __future__ import annotations

import threading
import time
from collections import deque

import pytest

from ops.serving import scheduler as scheduler_module
from ops.serving.scheduler import Scheduler
from ops.worker import StageError, Worker


class Idle(Worker):
    def run(self, requests, timing):
        """Has nothing to do."""


class Queue:
    """An op that hands its items to the next one."""

    def __init__(self, depth, batch_size, after=None, seconds=0.0):
        self.name = f"stage {depth}"
        self.depth = depth
        self.batch_size = batch_size
        self.items = deque()
        self.batches = []
        self.threads = {}
        self.after = after
        self.seconds = seconds

    def queued(self):
        return len(self.items)

    def take(self):
        return [self.items.popleft() for _ in range(min(len(self.items), self.batch_size))]

    def step(self, worker, items):
        self.threads.setdefault(worker, set()).add(threading.get_ident())
        time.sleep(self.seconds)
        self.batches.append(items)
        if self.after is not None:
            self.after.items.extend(items)


def run(stages, concurrency, cores, total):
    scheduler = Scheduler(cores)
    for stage, count in zip(stages, concurrency):
        scheduler.add(stage, [Idle() for _ in range(count)])
    scheduler.start()
    scheduler.wake()
    deepest = max(stages, key=lambda stage: stage.depth)
    wait_for(lambda: sum(map(len, deepest.batches)) == total)
    return scheduler


def wait_for(condition):
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.002)


def test_later_stages_get_full_batches_while_there_is_other_work():
    last = Queue(2, 4)
    first = Queue(1, 1, after=last)
    first.items.extend(range(16))
    run([last, first], [1, 1], 1, 16)
    assert [len(batch) for batch in last.batches] == [4, 4, 4, 4]


def test_a_batch_that_does_not_fill_goes_on_when_there_is_nothing_else():
    last = Queue(2, 4)
    first = Queue(1, 1, after=last)
    first.items.extend(range(3))
    run([first, last], [1, 1], 1, 3)
    assert sum(map(len, last.batches)) == 3


def test_work_that_has_waited_too_long_goes_before_new_work():
    last = Queue(2, 100)
    first = Queue(1, 1, after=last, seconds=0.005)
    first.items.extend(range(40))
    run([first, last], [1, 1], 1, 40)
    assert len(last.batches) > 1  # it did not wait for the last of the first stage


@pytest.mark.parametrize(("most_patience", "fills"), [(60.0, True), (0.0, False)])
def test_batches_wait_longer_while_many_requests_wait(monkeypatch, most_patience, fills):
    monkeypatch.setattr(scheduler_module, "PATIENCE_S", 0.0)
    monkeypatch.setattr(scheduler_module, "MOST_PATIENCE_S", most_patience)
    last = Queue(2, 4)
    first = Queue(1, 1, after=last, seconds=0.001)
    first.items.extend(range(40))
    run([first, last], [1, 1], 1, 40)
    assert (len(last.batches[0]) == last.batch_size) is fills


def test_no_more_threads_are_at_work_than_there_are_cores():
    running, most, lock = [0], [0], threading.Lock()

    class Counting(Queue):
        def step(self, worker, items):
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            super().step(worker, items)
            with lock:
                running[0] -= 1

    stage = Counting(1, 1, seconds=0.001)
    stage.items.extend(range(60))
    run([stage], [6], 2, 60)
    assert most[0] == 2


@pytest.mark.parametrize("concurrency", [(1, 1, 1), (2, 1, 3), (3, 2, 1)])
def test_a_worker_stays_in_one_thread_and_everything_arrives(concurrency):
    third = Queue(3, 2, seconds=0.001)
    second = Queue(2, 3, after=third, seconds=0.001)
    first = Queue(1, 1, after=second, seconds=0.001)
    first.items.extend(range(50))
    run([third, first, second], concurrency, 3, 50)
    assert sorted(item for batch in third.batches for item in batch) == list(range(50))
    for stage in (first, second, third):
        assert all(len(threads) == 1 for threads in stage.threads.values())


def test_work_that_comes_later_wakes_a_thread():
    stage = Queue(1, 1)
    stage.items.append(0)
    scheduler = run([stage], [2], 2, 1)
    for number in range(200):
        stage.items.append(number)
        scheduler.wake()
    wait_for(lambda: len(stage.batches) == 201)


def test_a_worker_that_cannot_warm_up_is_told_to_whoever_starts_the_threads():
    class Cold(Idle):
        def warm_up(self):
            raise RuntimeError("no kernel")

    scheduler = Scheduler(1)
    scheduler.add(Queue(1, 1), [Cold()])
    with pytest.raises(StageError, match="stage 1: a trial run failed: no kernel"):
        scheduler.start()
