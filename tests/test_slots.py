"""Slots: never more at work than there are, the most urgent first."""

from __future__ import annotations

import threading
import time

from ops.slots import Slots


def test_never_more_than_the_slots_are_taken():
    slots, lock = Slots(2), threading.Lock()
    running, most = [0], [0]

    def work():
        for _ in range(50):
            slots.acquire(0)
            with lock:
                running[0] += 1
                most[0] = max(most[0], running[0])
            time.sleep(0.0002)
            with lock:
                running[0] -= 1
            slots.release()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert most[0] == 2


def test_the_smallest_key_goes_first_and_equals_in_order():
    slots, order = Slots(1), []
    slots.acquire(0)

    def work(priority, name):
        slots.acquire(priority)
        order.append(name)
        slots.release()

    threads = []
    for priority, name in ((3, "a"), (1, "b"), (3, "c"), (1, "d")):
        threads.append(threading.Thread(target=work, args=(priority, name)))
        threads[-1].start()
        while len(slots._waiting) < len(threads):
            time.sleep(0.001)
    slots.release()
    for thread in threads:
        thread.join(10)
    assert order == ["b", "d", "a", "c"]
