"""Log records as JSON, one object a line, for programs that collect logs."""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

# The id of the request that is worked on; "" outside of one.
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")


class JsonLines(logging.Formatter):
    """Writes time (RFC 3339, UTC), level, logger, process, pid and message.

    request_id, where a request is worked on, and exception, a traceback, come with them. process:
    what the service calls the process that writes.
    """

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        written: dict[str, Any] = {
            "time": _rfc3339(record.created),
            "level": record.levelname,
            "logger": record.name,
            "process": self._process,
            "pid": record.process,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            written["request_id"] = request_id
        if record.exc_info:
            written["exception"] = self.formatException(record.exc_info)
        # In ASCII, which whatever reads and stores it takes.
        return json.dumps(written)


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def formatter(kind: str, process: str, text: dict[str, Any]) -> dict[str, Any]:
    """An entry of `formatters` for `logging.config.dictConfig`.

    kind: `log.format`, json or text. process: as above. text: the entry for text.
    """
    return {"()": JsonLines, "process": process} if kind == "json" else text
