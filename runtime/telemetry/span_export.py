"""Sends spans without ever holding up who made them, and counts what became of each."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

_LOGGER = logging.getLogger(__name__)
# Spans that wait to be sent, each some hundred bytes.
MOST_WAITING = 4096


class CountingExporter(SpanExporter):
    """Sends spans by another exporter. Used by any thread.

    most: spans that may wait to be sent.
    """

    def __init__(self, exporter: SpanExporter, endpoint: str) -> None:
        """endpoint: for messages."""
        self.most = MOST_WAITING
        self._exporter = exporter
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter(sent=0, failed=0, dropped=0)
        self._waiting = 0
        self._failing = False
        self._given_up = False

    def take_place(self) -> bool:
        """Whether there is room for one span more, which waits from now on."""
        with self._lock:
            if self._waiting >= self.most:
                self._counts["dropped"] += 1
                return False
            self._waiting += 1
            return True

    def counts(self) -> dict[str, int]:
        """How many were sent, could not be sent, and found no room."""
        with self._lock:
            return dict(self._counts)

    def give_up(self) -> None:
        """Send nothing any more."""
        self._given_up = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them, or count them as failed: they are not tried again."""
        result = SpanExportResult.FAILURE
        if not self._given_up:
            result = self._exporter.export(spans)
        is_sent = result is SpanExportResult.SUCCESS
        with self._lock:
            self._waiting -= len(spans)
            self._counts["sent" if is_sent else "failed"] += len(spans)
        self._tell(is_sent)
        return result

    def shutdown(self) -> None:
        """Let go of connections."""
        self._exporter.shutdown()

    def _tell(self, is_sent: bool) -> None:
        """A line when it begins to fail, and one when it works again."""
        if is_sent and self._failing:
            _LOGGER.warning("traces: they are taken again by %s", self._endpoint)
        elif not is_sent and not self._failing:
            _LOGGER.warning("traces: they cannot be sent to %s", self._endpoint)
        self._failing = not is_sent


class Counting(SpanProcessor):
    """Hands spans that have ended to another processor, as many as may wait."""

    def __init__(self, inner: SpanProcessor, exporter: CountingExporter) -> None:
        self._inner = inner
        self._exporter = exporter

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Nothing is to be done yet."""

    def on_end(self, span: ReadableSpan) -> None:
        """A span has ended; only those that are to be sent have a place."""
        context = span.context
        if context and context.trace_flags.sampled and self._exporter.take_place():
            self._inner.on_end(span)

    def shutdown(self) -> None:
        """End the inner one."""
        self._inner.shutdown()
