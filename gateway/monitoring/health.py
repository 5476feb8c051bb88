"""GET /health: whether a request would be answered now, and if not, why."""

from __future__ import annotations

import asyncio
import importlib.metadata
import platform
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import NotRequired

from typing_extensions import TypedDict

from gateway.auth.audit import Audit
from gateway.backends.library_calls import LibraryCalls
from gateway.backends.pipeline import Pipeline
from gateway.backends.shared_result import SharedResult
from gateway.errors import ApiError
from runtime.heartbeat import read_notice
from runtime.probe import PIXEL

RECENT_S = 10.0  # an answer of the pipeline that is no older counts as a sign of life
TIMEOUT_S = 2.0  # for the pipeline and for the library, side by side
KEPT_S = 1.0  # however often it is asked, the parts are looked at no more often
_PIPELINE, _LIBRARY = "recognition service", "face library"
_UNWRITABLE = "Changes are refused: the audit log cannot be written."
# Packages whose versions are told; the service runs with one or the other of each pair.
_PACKAGES = {
    "paddle": ("paddlepaddle", "paddlepaddle-gpu"),
    "paddle_serving": ("paddle-serving-server", "paddle-serving-server-gpu"),
}


class HealthResult(TypedDict):
    """status: ok or unavailable, then with reasons.

    The others are told to whoever has a key, where keys are asked for.
    """

    status: str
    reasons: list[str]
    models: NotRequired[dict[str, str]]
    licences: NotRequired[dict[str, str]]
    versions: NotRequired[dict[str, str]]
    uptime_s: NotRequired[float]


class Health:
    """Looks at the pipeline, the library and the audit log; to be used on the event loop.

    started: time.monotonic() when the gateway began to serve. licences: of models by their names.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        library: LibraryCalls,
        started: float,
        audit: Audit | None = None,
        licences: Mapping[str, str] | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._library = library
        self._audit = audit
        self._started = started
        self._licences = dict(licences or {})
        self._versions = versions()
        self._reasons: SharedResult[dict[str, str]] = SharedResult(KEPT_S)
        self._under_way: dict[str, asyncio.Future[str | None]] = {}

    async def check(self, trusted: bool = True) -> tuple[bool, HealthResult]:
        """Whether all is well, and what to answer.

        status: ok or unavailable. reasons: a sentence for each part that does not answer.
        models: name by stage, as the pipeline last told. licences: of these models, by name, as far
        as they stand on this machine. versions, uptime_s: of the service.
        trusted: whether to answer with more than the first two, and to say what is wrong in
        detail. Others get sentences that are always the same.
        """
        details = await self._reasons.get(self._look)
        reasons = (
            list(details.values())
            if trusted
            else [f"The {what} does not answer." for what in details]
        )
        if self._audit is not None and not self._audit.is_writable:
            reasons.append(_UNWRITABLE)
        found: HealthResult = {
            "status": "unavailable" if reasons else "ok",
            "reasons": reasons,
        }
        if trusted:
            models = dict(self._pipeline.models)
            names = [name for told in models.values() for name in told.split("+")]
            found["models"] = models
            found["licences"] = {n: self._licences[n] for n in names if n in self._licences}
            found["versions"] = dict(self._versions)
            found["uptime_s"] = round(time.monotonic() - self._started, 1)
        return not reasons, found

    async def parts(self) -> dict[str, bool]:
        """Whether each part is well, for /metrics: pipeline, library, audit."""
        details = await self._reasons.get(self._look)
        return {
            "pipeline": _PIPELINE not in details,
            "library": _LIBRARY not in details,
            "audit": self._audit is None or self._audit.is_writable,
        }

    async def _look(self) -> dict[str, str]:
        """What is wrong with each part that does not answer."""
        looks = {
            _PIPELINE: self._pipeline_reason,
            _LIBRARY: self._library_reason,
        }
        found = await asyncio.gather(*(self._in_time(what, looks[what]) for what in looks))
        return {what: reason for what, reason in zip(looks, found) if reason is not None}

    async def _in_time(self, what: str, look: Callable[[], Awaitable[str | None]]) -> str | None:
        """What a look finds, or that it takes too long.

        A look that hangs goes on and is waited for again the next time: others beside it would
        only take more threads and connections.
        """
        task = self._under_way.get(what)
        if task is None or task.done():
            task = self._under_way[what] = asyncio.ensure_future(look())
        await asyncio.wait({task}, timeout=TIMEOUT_S)
        return task.result() if task.done() else f"The {what} does not answer."

    async def _pipeline_reason(self) -> str | None:
        away = read_notice()
        if away and not any(is_up for _, is_up, _ in self._pipeline.state()):
            return away
        success = self._pipeline.last_success
        if success and time.monotonic() - success <= RECENT_S:
            return None
        try:
            (seen,) = await self._pipeline.see(
                # As an aligned face: the pipeline decodes it and runs the recogniser.
                [PIXEL],
                want=("embedding",),
                timeout=TIMEOUT_S,
                aligned=True,
            )
        except ApiError as error:
            return away or f"The recognition service does not answer: {error.sentence}."
        return None if seen.error is None else "The recognition service refuses a good picture."

    async def _library_reason(self) -> str | None:
        try:
            await self._library.ping()
        except ApiError as error:
            return f"The face library does not answer: {error.sentence}."
        return None


def versions() -> dict[str, str]:
    """Of Python and of what the service is built on."""
    found = {"python": platform.python_version()}
    for name, packages in _PACKAGES.items():
        for package in packages:
            try:
                found[name] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue
    return found
