"""Admission: who would be late is refused, by what is true now; nobody is refused for good."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.errors import ErrorKind, ServiceError
from ops.serving.admission import Admission, Place

QUEUE = 64
# Longer than anything learned is kept, for requests of a few seconds.
FORGOTTEN_S = 10.5


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Line:
    """A service that answers one request after the other, in their order."""

    def __init__(self, queue: int = QUEUE) -> None:
        self.clock = Clock()
        self.aside = 0
        self.counted = 0
        self.admission = Admission(queue, lambda: self.aside, self.count, self.clock)
        self.inside: deque[Place] = deque()

    def count(self) -> None:
        self.counted += 1

    def enter(self, seconds: float = 3.0) -> Place | None:
        """A place, or None where the request is refused."""
        try:
            place = self.admission.enter(seconds)
        except ServiceError:
            return None
        self.inside.append(place)
        return place

    def answer(self, seconds: float, is_answered: bool = True) -> None:
        """The first one is answered, or given up, after so many seconds more."""
        self.clock.now += seconds
        self.admission.leave(self.inside.popleft(), is_answered)

    def answer_all(self, seconds: float = 0.0) -> None:
        while self.inside:
            self.answer(seconds)

    def overload(self, cost: float = 0.5, number: int = 16) -> None:
        """So many come at once, none of them in a hurry, and are answered at this pace."""
        for _ in range(number):
            assert self.enter(1000.0)
        self.answer_all(cost)

    def refused(self, count: int, seconds: float = 3.0) -> int:
        """How many of so many that come at once are refused; all leave again, answered by then."""
        refused = [self.enter(seconds) for _ in range(count)].count(None)
        assert self.counted == refused
        self.counted = 0
        self.answer_all()
        return refused


def test_two_at_a_time_are_let_in_after_a_slow_one_with_a_quick_one_beside_it():
    line = Line()
    slow, quick = line.enter(30.0), line.enter(30.0)
    line.clock.now += 0.1
    line.admission.leave(quick, True)
    line.clock.now += 8.0
    line.admission.leave(slow, True)
    line.inside.clear()
    for _ in range(20):
        assert line.enter()
        assert line.enter()
        line.answer_all(0.05)


def test_who_would_be_late_is_refused_and_who_has_the_time_is_let_in():
    line = Line()
    line.overload(cost=0.5)
    for _ in range(10):
        assert line.enter(1000.0)
    # The tenth before it would be answered after five seconds.
    assert line.enter(3.0), "one of those on trial"
    assert line.enter(3.0) is None
    assert line.enter(30.0)


def test_how_many_are_let_in_follows_the_time_that_they_have():
    def let_in(seconds: float) -> int:
        line = Line()
        line.overload(cost=0.1, number=40)
        return 40 - line.refused(40, seconds)

    counts = [let_in(seconds) for seconds in (0.5, 1.0, 2.0, 4.0, 10.0)]
    # Eight tenths of the time, and one on trial.
    assert counts == [5, 9, 17, 33, 40]


def test_requests_in_a_full_queue_are_refused_whatever_their_time():
    line = Line(queue=4)
    assert line.refused(6, 1000.0) == 2
    for _ in range(4):
        line.enter(1000.0)
    assert line.admission.full
    for refuse in (line.admission.check, lambda: line.admission.enter(1000.0)):
        with pytest.raises(ServiceError) as caught:
            refuse()
        assert caught.value.kind is ErrorKind.BUSY


def test_what_was_learned_is_forgotten_after_a_while():
    line = Line()
    line.overload()
    assert line.refused(16)
    line.overload()
    line.clock.now += FORGOTTEN_S
    assert line.refused(16) == 0


def test_what_requests_of_much_time_go_by_is_known_for_as_long():
    for seconds, refused in ((3.0, 0), (40.0, 9)):
        line = Line()
        line.overload(cost=5.0)
        line.clock.now += FORGOTTEN_S
        assert line.refused(16, seconds) == refused


def test_newer_and_quicker_answers_count_more_than_older_ones():
    line = Line()
    line.overload(cost=1.0)
    refused = [line.refused(8) for _ in range(16)]
    assert refused[0] == 5, "two are let in, and one on trial"
    assert refused[-1] == 0
    assert refused == sorted(refused, reverse=True)


def test_one_that_takes_long_does_not_speak_for_the_others():
    for slow in range(8):
        line = Line()
        for number in range(8):
            for _ in range(4):
                line.enter(30.0)
            line.answer_all(20.0 if number == slow and slow < 7 else 0.02)
            assert line.refused(4) == 0


def test_one_on_trial_shows_that_the_others_were_refused_in_vain():
    line = Line()
    line.overload(cost=1.0)
    for _ in range(8):
        line.enter(1000.0)
    trial = line.enter()
    assert trial
    assert trial.is_trial
    assert line.enter() is None
    line.answer_all()
    for _ in range(8):
        line.enter(1000.0)
    assert line.enter(), "the next one on trial"


def test_requests_that_hold_up_nobody_are_no_reason_to_refuse_another():
    line = Line()
    line.overload(cost=1.0)
    for _ in range(8):
        line.enter(1000.0)
    line.aside = 8
    assert line.refused(2, 0.001) == 0
    assert line.admission.in_flight == 0


def test_what_says_nothing_of_the_time_of_others_is_not_learned():
    line = Line()
    for _ in range(8):
        places = [line.admission.enter(30.0) for _ in range(8)]
        line.clock.now += 20.0
        for place in places:
            line.admission.leave(place, True, aside=True)
        # Broken pictures, and clients that leave early.
        for place in [line.admission.enter(30.0) for _ in range(8)]:
            line.admission.leave(place, False)
    assert line.refused(8, 0.5) == 0


def test_requests_that_were_late_show_that_others_would_be():
    line = Line()
    for _ in range(8):
        line.enter(3.0)
    line.clock.now += 2.99  # a client's clock need not be ours
    while line.inside:
        line.answer(0.0, is_answered=False)
    assert line.refused(8, 3.0)
    assert line.refused(8, 30.0) == 0, "how long they would have taken is not known"


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("enter"), st.floats(0.001, 60.0)),
        st.tuples(st.just("answer"), st.floats(0.0, 20.0)),
        st.tuples(st.just("give up"), st.floats(0.0, 20.0)),
    ),
    max_size=120,
)


def lived_through(steps) -> Line:
    line = Line(queue=16)
    for step, seconds in steps:
        if step == "enter":
            before = list(line.inside)
            if line.enter(seconds) is None:
                tried = any(place.is_trial for place in before)
                assert line.admission.full or (len(before) >= 2 and tried)
        elif line.inside:
            line.answer(seconds, step == "answer")
        assert line.admission.in_flight == len(line.inside)
    return line


@given(STEPS)
def test_whatever_happened_an_idle_service_refuses_nobody(steps):
    line = lived_through(steps)
    line.answer_all()
    for _ in range(3):
        assert line.refused(2, 0.001) == 0


@given(STEPS)
def test_whatever_happened_it_is_forgotten_after_a_while(steps):
    line = lived_through(steps)
    line.answer_all()
    line.clock.now += FORGOTTEN_S
    assert line.refused(16) == 0


@given(STEPS, st.integers(3, 12))
def test_whatever_happened_a_service_that_has_become_quick_refuses_nobody_soon(steps, clients):
    line = lived_through(steps)
    line.answer_all()
    refused = [line.refused(clients, 3.0) for _ in range(32)]
    assert refused[-1] == 0
