"""The spans of this process, made by OpenTelemetry and sent over OTLP. See `tracing`."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterable, Mapping
from typing import Any

import requests
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from runtime.telemetry.span_export import Counting, CountingExporter
from settings.config import Tracing

Attributes = Mapping[str, str | bool | int | float]
# Seconds for one attempt to send, and between two.
_SEND_S = 5.0
_EVERY_S = 1.0
# Of one message.
_BATCH = 256
_PROPAGATOR = TraceContextTextMapPropagator()
_CARRIED = ("traceparent", "tracestate")


class Span:
    """A part of a request's work, from its making until `end`."""

    __slots__ = ("_context", "_span", "_tracer")

    def __init__(self, tracer: trace.Tracer, span: trace.Span) -> None:
        self._tracer = tracer
        self._span = span
        self._context = trace.set_span_in_context(span, Context())

    def child(
        self,
        name: str,
        attributes: Attributes | None = None,
        start_ns: int | None = None,
        is_call: bool = False,
    ) -> Span:
        """A part of this one. start_ns: since 1970, now by default.

        is_call: whether the work is done elsewhere.
        """
        kind = SpanKind.CLIENT if is_call else SpanKind.INTERNAL
        made = self._tracer.start_span(name, self._context, kind, attributes, start_time=start_ns)
        return Span(self._tracer, made)

    def name(self, name: str) -> None:
        """Call it otherwise than at its making."""
        self._span.update_name(name)

    def set(self, attributes: Attributes) -> None:
        """Say more of it."""
        self._span.set_attributes(attributes)

    def fail(self, fault: str) -> None:
        """Something went wrong: what, in a word."""
        self._span.set_status(Status(StatusCode.ERROR, fault))

    def end(self, fault: str = "", end_ns: int | None = None) -> None:
        """It is done. fault: what went wrong, in a word. end_ns: since 1970, now by default."""
        if fault:
            self.fail(fault)
        self._span.end(end_ns)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """What tells another process of it, in W3C's form."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, self._context)
        return tuple(carrier.items())


class Provider:
    """Makes spans and sends them, from a thread and a queue with a bound."""

    def __init__(self, settings: Tracing, process: str) -> None:
        # The exporter's own lines tell of every message that was not sent, and those of the
        # propagator of every header that is too long.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        session = requests.Session()
        # A proxy set for the internet would get them.
        session.trust_env = False
        sender = OTLPSpanExporter(settings.endpoint, timeout=_SEND_S, session=session)
        self._exporter = CountingExporter(sender, settings.endpoint)
        batches = BatchSpanProcessor(
            self._exporter,
            # More than it ever gets: what is over the bound is dropped, and counted, before it.
            max_queue_size=2 * self._exporter.most,
            schedule_delay_millis=1000 * _EVERY_S,
            max_export_batch_size=_BATCH,
        )
        resource = {
            "service.name": settings.service_name,
            "service.instance.id": f"{socket.gethostname()} {process}",
        }
        self._provider = TracerProvider(
            ParentBased(TraceIdRatioBased(settings.sample_ratio)),
            Resource(resource),
            shutdown_on_exit=False,
        )
        self._batches = batches
        self._provider.add_span_processor(Counting(batches, self._exporter))
        self._tracer = self._provider.get_tracer("face")

    def request_span(
        self, name: str, headers: Iterable[tuple[Any, Any]], attributes: Attributes | None
    ) -> Span:
        """See `tracing.request`."""
        parent = _PROPAGATOR.extract(_carrier(headers), Context())
        made = self._tracer.start_span(name, parent, SpanKind.SERVER, attributes)
        return Span(self._tracer, made)

    def counts(self) -> dict[str, int]:
        """See `tracing.counts`."""
        return self._exporter.counts()

    def close(self, seconds: float) -> None:
        """Send what waits, for so long at most."""
        ending = threading.Thread(target=self._batches.shutdown, name="traces-end", daemon=True)
        ending.start()
        ending.join(seconds)
        self._exporter.give_up()


def _carrier(headers: Iterable[tuple[Any, Any]]) -> dict[str, str]:
    """The headers of the trace; a `traceparent` that stands there twice says nothing."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        key = name.decode("latin-1") if isinstance(name, bytes) else name
        if key in _CARRIED:
            text = value.decode("latin-1") if isinstance(value, bytes) else value
            found.setdefault(key, []).append(text)
    if len(found.get("traceparent", ())) != 1:
        return {}
    return {name: ",".join(values) for name, values in found.items()}
