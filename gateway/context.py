"""What the operations work with, and what is known of the call that they answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Concatenate, ParamSpec, TypeVar

from gateway.auth.audit_notes import Trail
from gateway.auth.key_store import KeyStore
from gateway.backends.face_names import FaceNames
from gateway.backends.face_tokens import FaceTokens
from gateway.backends.library_calls import LibraryCalls
from gateway.backends.pipeline import Pipeline
from gateway.backends.search_batching import SearchBatcher
from gateway.backends.url_images import UrlImages
from gateway.errors import ApiError, ErrorCode
from gateway.monitoring.metrics import Metrics
from library.library import Library
from library.store.store import Store
from settings.gateway import GatewayConfig
from settings.library import LibraryConfig

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Backends:
    """What operations may use.

    urls: None where pictures may not be given as URL. picture_bytes: of one picture's file.
    most_faces: of a picture, that the pipeline gives at most.
    liveness_thresholds: scores below which a share of live faces lies, "frr_1e-4" and so on.
    """

    config: GatewayConfig
    library_config: LibraryConfig
    metrics: Metrics
    pipeline: Pipeline
    library: LibraryCalls
    keys: KeyStore
    searches: SearchBatcher
    face_tokens: FaceTokens
    face_names: FaceNames
    urls: UrlImages | None
    picture_bytes: int
    most_faces: int
    liveness_thresholds: dict[str, float]


@dataclass(frozen=True)
class Call:
    """One request under way, and what answers it.

    app: that it acts in. apps: whom it may ask about, None for all. deadline: of time.monotonic.
    trail: where its changes are noted, None for nowhere. create_groups: whether a face may be added
    to a group that is not there.
    """

    backends: Backends
    app: str
    apps: frozenset[str] | None
    deadline: float
    trail: Trail | None = None
    create_groups: bool = False

    async def read(
        self, query: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """What a method of the store, or a function of it, returns. Raises ApiError.

        As all of these: on a thread, within the call's time.
        """
        return await self.backends.library.call(
            lambda library: query(library.store, *args, **kwargs),
            self.remaining(),
            name=_name(query),
        )

    async def ask(
        self, query: Callable[Concatenate[Library, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for the library itself, which searches."""
        return await self.backends.library.call(
            lambda library: query(library, *args, **kwargs), self.remaining(), name=_name(query)
        )

    async def change(
        self, work: Callable[Concatenate[Library, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """The same for what changes the library: noted before it is begun, and when it is done.

        What is given up here may still be done; how that ends is noted then. Raises ApiError,
        AUDIT where it cannot be noted, and then nothing is changed.
        """
        trail = self.trail
        if trail is None:
            return await self.ask(work, *args, **kwargs)
        await trail.begin(self.remaining())
        try:
            done = await self.backends.library.call(
                lambda library: work(library, *args, **kwargs),
                self.remaining(),
                trail.end_late,
                name=_name(work),
            )
        except ApiError as error:
            await trail.end(error)
            raise
        except Exception:
            await trail.end(ApiError(ErrorCode.UNKNOWN))
            raise
        await trail.end(None)
        return done

    async def within(self, work: Awaitable[T]) -> T:
        """What is awaited, within the call's time. Raises ApiError DATABASE when that is over."""
        try:
            return await asyncio.wait_for(work, self.remaining())
        except TimeoutError:
            raise ApiError(ErrorCode.DATABASE, "not answered in time") from None

    def remaining(self) -> float:
        """Seconds until the answer is due. Raises ApiError PIPELINE when it is past."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise ApiError(ErrorCode.PIPELINE, "not answered in time")
        return left


def _name(work: Callable[..., object]) -> str:
    """What a function is called, for traces."""
    return str(getattr(work, "__name__", ""))
