"""A traced request's way through the stages: a span for each, below that of the request."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.telemetry.spans import Span


class RequestTrace:
    """What stages note of one request. Several may at a time, each under a name of its own."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self._arrived = time.perf_counter()
        self._passed: dict[str, float] = {}

    def worked(
        self,
        stage: str,
        inputs: Sequence[str],
        taken: float,
        ended: float,
        requests: int,
        fault: str = "",
    ) -> None:
        """Note that a stage has worked on the request.

        inputs: the stages before it. taken, ended: when, of time.perf_counter. requests: in its
        batch. fault: of the request, in a word, where it failed there.
        """
        # A stage that postpones a request has it again, without anyone between.
        before = [self._passed[name] for name in (stage, *inputs) if name in self._passed]
        queued = taken - max(before, default=self._arrived)
        started_ns, ended_ns = _epoch_ns(taken), _epoch_ns(ended)
        attributes: dict[str, str | int | float] = {
            "face.stage": stage,
            "face.batch_size": requests,
            "face.queue_ms": round(max(queued, 0.0) * 1000, 3),
        }
        self._span.child(f"stage {stage}", attributes, started_ns).end(fault, ended_ns)
        self._passed[stage] = ended

    def passed(self, stage: str, when: float) -> None:
        """Note that the request has gone through a stage that had nothing to do for it."""
        self._passed[stage] = when


def _epoch_ns(counter: float) -> int:
    """A time of time.perf_counter in nanoseconds since 1970."""
    return time.time_ns() - int((time.perf_counter() - counter) * 1e9)
