"""The REST gateway from Python with asyncio: ``client.rest.face_service`` as coroutines.

::

    async with AsyncFaceService("http://127.0.0.1:8300") as service:
        faces = await service.detect(Path("face.jpg"))
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TypeVar

import httpx

from client.rest import calls
from client.rest.calls import EVERYWHERE, Call, Names
from client.rest.exchange import DEFAULT_URL, Exchange
from client.rest.records import (
    AppStatistics,
    Comparison,
    Enrolled,
    EnrolledFace,
    Face,
    FaceServiceError,
    FoundFace,
    GroupStatistics,
    HealthReport,
    Identified,
    Liveness,
    Match,
    Membership,
    Picture,
    Token,
)

T = TypeVar("T")


class AsyncFaceService:
    """See FaceService; for the tasks of one event loop."""

    def __init__(
        self,
        url: str = DEFAULT_URL,
        key: str | None = None,
        app: str | None = None,
        timeout: float = 30.0,
        retries: int = 2,
    ) -> None:
        """See Exchange. Raises ValueError for an address that is none."""
        self._exchange = Exchange(url, key, app, timeout, retries)
        self._client = httpx.AsyncClient(**self._exchange.settings())

    async def __aenter__(self) -> AsyncFaceService:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the connections; calls under way fail."""
        await self._client.aclose()

    async def _send(self, call: Call[T]) -> T:
        attempt = 0
        while True:
            attempt += 1
            try:
                response = await self._client.request(**self._exchange.request(call))
                return self._exchange.result(call, response)
            except httpx.HTTPError as error:
                failure: FaceServiceError = self._exchange.failure(error)
            except FaceServiceError as error:
                failure = error
            pause = self._exchange.pause(call, failure, attempt)
            if pause is None:
                raise failure
            await asyncio.sleep(pause)

    # Pictures.

    async def detect(
        self,
        picture: Picture,
        fields: Names = (),
        max_faces: int = 1,
        liveness: str | None = None,
    ) -> tuple[Face, ...]:
        """See FaceService.detect."""
        return await self._send(calls.detect(picture, fields, max_faces, liveness))

    async def match(
        self,
        one: Picture,
        other: Picture,
        quality: str | None = None,
        liveness: str | None = None,
    ) -> Match:
        """See FaceService.match."""
        return await self._send(calls.match(one, other, (quality, liveness)))

    async def compare(self, one: Picture, other: Picture) -> Comparison:
        """See FaceService.compare."""
        return await self._send(calls.compare(one, other))

    async def liveness(self, pictures: Sequence[Picture], fields: Names = ()) -> Liveness:
        """See FaceService.liveness."""
        return await self._send(calls.liveness(pictures, fields))

    # Searching.

    async def identify(
        self,
        picture: Picture,
        groups: Names,
        max_users: int = 1,
        threshold: float = 80.0,
        user: str | None = None,
        quality: str | None = None,
        liveness: str | None = None,
    ) -> Identified:
        """See FaceService.identify."""
        controls = (quality, liveness)
        return await self._send(
            calls.identify(picture, groups, max_users, threshold, user, controls)
        )

    async def multi_search(
        self,
        picture: Picture,
        groups: Names,
        max_faces: int = 10,
        max_users: int = 1,
        threshold: float = 80.0,
        user: str | None = None,
        quality: str | None = None,
        liveness: str | None = None,
    ) -> tuple[FoundFace, ...]:
        """See FaceService.multi_search."""
        controls = (quality, liveness)
        return await self._send(
            calls.multi_search(picture, groups, max_faces, max_users, threshold, user, controls)
        )

    # People.

    async def add(
        self,
        picture: Picture,
        group: str,
        user: str,
        info: str | None = None,
        replace: bool = False,
        quality: str | None = None,
        liveness: str | None = None,
    ) -> Enrolled:
        """See FaceService.add."""
        action = "REPLACE" if replace else None
        controls = (quality, liveness)
        return await self._send(
            calls.enrol("face/add", picture, group, user, info, action, controls)
        )

    async def update(
        self,
        picture: Picture,
        group: str,
        user: str,
        info: str | None = None,
        create: bool = False,
        quality: str | None = None,
        liveness: str | None = None,
    ) -> Enrolled:
        """See FaceService.update."""
        action = "REPLACE" if create else None
        controls = (quality, liveness)
        return await self._send(
            calls.enrol("face/update", picture, group, user, info, action, controls)
        )

    async def faces(self, user: str, group: str) -> tuple[EnrolledFace, ...]:
        """See FaceService.faces."""
        return await self._send(calls.faces(user, group))

    async def delete_face(self, user: str, group: str, token: Token | str) -> None:
        """See FaceService.delete_face."""
        await self._send(
            calls.change("face/delete", user_id=user, group_id=group, face_token=token)
        )

    async def user(self, user: str, group: str = EVERYWHERE) -> tuple[Membership, ...]:
        """See FaceService.user."""
        return await self._send(calls.user(user, group))

    async def users(self, group: str, start: int = 0, length: int = 100) -> tuple[str, ...]:
        """See FaceService.users."""
        return await self._send(
            calls.listing("user/list", "user_id_list", group_id=group, start=start, length=length)
        )

    async def copy_user(self, user: str, source: str, target: str) -> None:
        """See FaceService.copy_user."""
        await self._send(
            calls.change("user/copy", user_id=user, src_group_id=source, dst_group_id=target)
        )

    async def delete_user(self, user: str, group: str) -> None:
        """See FaceService.delete_user."""
        await self._send(calls.change("user/delete", user_id=user, group_id=group))

    # Groups, and the service itself.

    async def create_group(self, group: str) -> None:
        """See FaceService.create_group."""
        await self._send(calls.change("group/add", group_id=group))

    async def delete_group(self, group: str) -> None:
        """See FaceService.delete_group."""
        await self._send(calls.change("group/delete", group_id=group))

    async def groups(self, start: int = 0, length: int = 100) -> tuple[str, ...]:
        """See FaceService.groups."""
        return await self._send(
            calls.listing("group/list", "group_id_list", start=start, length=length)
        )

    async def apps(self) -> tuple[str, ...]:
        """See FaceService.apps."""
        return await self._send(calls.listing("app/list", "app_id_list"))

    async def delete_app(self, app: str) -> None:
        """See FaceService.delete_app."""
        await self._send(calls.change("app/delete", appid=app))

    async def app_statistics(self, apps: Names = ()) -> tuple[AppStatistics, ...]:
        """See FaceService.app_statistics."""
        return await self._send(calls.app_statistics(apps))

    async def group_statistics(
        self, groups: Names = (), app: str | None = None
    ) -> tuple[GroupStatistics, ...]:
        """See FaceService.group_statistics."""
        return await self._send(calls.group_statistics(groups, app))

    async def health(self) -> HealthReport:
        """See FaceService.health."""
        return await self._send(calls.health())
