"""Traces of requests in OpenTelemetry's form, where `tracing.endpoint` is set.

Where it is not, no span is ever made and none of OpenTelemetry is imported: whoever could make one
finds None, and goes on.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from settings.config import Tracing

if TYPE_CHECKING:
    from runtime.telemetry.spans import Attributes, Provider, Span

# What became of the spans that were made, as the metrics call it.
OUTCOMES = ("sent", "failed", "dropped")

# The span that is at work in this task or thread.
CURRENT: ContextVar[Span | None] = ContextVar("span", default=None)
_provider: Provider | None = None


def set_up(settings: Tracing, process: str) -> None:
    """Begin to trace in this process, if the settings say so.

    process: what the service calls this one.
    """
    global _provider
    if not settings.endpoint:
        return
    from runtime.telemetry.spans import Provider

    _provider = Provider(settings, process)


def is_on() -> bool:
    """Whether there may be spans."""
    return _provider is not None


def counts() -> dict[str, int]:
    """How many spans came to each of `OUTCOMES` in this process."""
    return dict.fromkeys(OUTCOMES, 0) if _provider is None else _provider.counts()


def close(seconds: float = 2.0) -> None:
    """Send what waits, for so long at most, and trace no more."""
    global _provider
    provider, _provider = _provider, None
    if provider is not None:
        provider.close(seconds)


class span:  # noqa: N801 - used like a function
    """``with span("name") as one``: a part of what the span at work does; None where there is none.

    It is the one at work inside the block. An exception marks it as failed, with its kind or its
    type's name and nothing of its text, which may tell of somebody.
    """

    __slots__ = ("_attributes", "_name", "_span", "_token")
    _is_call = False

    def __init__(self, name: str, attributes: Attributes | None = None) -> None:
        self._name = name
        self._attributes = attributes
        self._span: Span | None = None

    def __enter__(self) -> Span | None:
        self._span = self._begun()
        if self._span is not None:
            self._token = CURRENT.set(self._span)
        return self._span

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        if self._span is not None:
            CURRENT.reset(self._token)
            self._span.end("" if kind is None else _word(kind, error))

    def _begun(self) -> Span | None:
        parent = CURRENT.get()
        if parent is None:
            return None
        return parent.child(self._name, self._attributes, is_call=self._is_call)


class call(span):  # noqa: N801 - used like a function
    """The same for work that another process does."""

    __slots__ = ()
    _is_call = True


class request(span):  # noqa: N801 - used like a function
    """The same of a request that has come, of the trace that its headers name, if they do.

    headers: of HTTP or gRPC, names in lower case, str or bytes. Headers that are not as W3C's Trace
    Context has them are ignored.
    """

    __slots__ = ("_headers",)

    def __init__(
        self, name: str, headers: Iterable[tuple[Any, Any]], attributes: Attributes | None = None
    ) -> None:
        super().__init__(name, attributes)
        self._headers = headers

    def _begun(self) -> Span | None:
        if _provider is None:
            return None
        return _provider.request_span(self._name, self._headers, self._attributes)


def _word(kind: type[BaseException], error: BaseException | None) -> str:
    """What went wrong: the name of the project's own kind of error, or of the exception's type."""
    name = getattr(getattr(error, "kind", None), "name", "")
    return name if isinstance(name, str) and name else kind.__name__
