"""The REST gateway from Python with asyncio: typed calls.

::

    from pathlib import Path
    from client import AsyncFaceService

    async with AsyncFaceService("http://127.0.0.1:8300") as service:
        await service.create_group("staff")
        await service.add(Path("ada.jpg"), "staff", "ada", info="Ada L.")
        found = await service.identify(Path("visitor.jpg"), ["staff"])
        for one in found.users:
            print(one.user, one.score)
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
    """Calls the gateway; for the tasks of one event loop.

    A picture is the bytes of a JPEG, PNG, WebP, BMP, GIF, TIFF, HEIC or AVIF file, its path as
    pathlib.Path, a Token that an earlier call returned, or a Url. Where a call takes one face of a
    picture, it is the largest.
    quality, liveness: NONE, LOW, NORMAL or HIGH, what a face is held to before it is used; without
    it, the service's own (NONE).

    Every call raises FaceServiceError with the service's number, or NoAnswerError. Calls that
    change nothing are sent again, `retries` times, where the connection fails or the service is
    busy; changes never are.
    """

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
        """The faces of a picture, largest first; none is an empty tuple.

        fields: of age, gender, expression, emotion, landmark, landmark72, landmark150, quality,
        spoofing and feature. max_faces: 1 to 120.
        """
        return await self._send(calls.detect(picture, fields, max_faces, liveness))

    async def match(
        self,
        one: Picture,
        other: Picture,
        quality: str | None = None,
        liveness: str | None = None,
    ) -> Match:
        """How alike the faces of two pictures are."""
        return await self._send(calls.match(one, other, (quality, liveness)))

    async def compare(self, one: Picture, other: Picture) -> Comparison:
        """The same in the plain interface, with the cosine; bytes and paths only."""
        return await self._send(calls.compare(one, other))

    async def liveness(self, pictures: Sequence[Picture], fields: Names = ()) -> Liveness:
        """How alive the face of 1 to 8 pictures of the same scene is. fields: see `detect`."""
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
        """The users most like the picture's face.

        groups: up to 10. max_users: 1 to 50. threshold: score from which on a user counts.
        user: only this one is compared.
        """
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
        """The same for every face of a picture; empty where it has none or nobody is known."""
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
        """Enrol a face of a user, who is made where the user is new.

        info: up to 256 bytes of your own. replace: the user's other faces are taken away.
        """
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
        """Put a face in place of all that a user has. create: also for a user who is new."""
        action = "REPLACE" if create else None
        controls = (quality, liveness)
        return await self._send(
            calls.enrol("face/update", picture, group, user, info, action, controls)
        )

    async def faces(self, user: str, group: str) -> tuple[EnrolledFace, ...]:
        """A user's faces, oldest first."""
        return await self._send(calls.faces(user, group))

    async def delete_face(self, user: str, group: str, token: Token | str) -> None:
        """Take a face from a user, who goes with the last one."""
        await self._send(
            calls.change("face/delete", user_id=user, group_id=group, face_token=token)
        )

    async def user(self, user: str, group: str = EVERYWHERE) -> tuple[Membership, ...]:
        """What is kept of a user, in one group or in all that have the user."""
        return await self._send(calls.user(user, group))

    async def users(self, group: str, start: int = 0, length: int = 100) -> tuple[str, ...]:
        """Names of a group's users, `length` (up to 1000) from number `start` on."""
        return await self._send(
            calls.listing("user/list", "user_id_list", group_id=group, start=start, length=length)
        )

    async def copy_user(self, user: str, source: str, target: str) -> None:
        """Copy a user from one group into another; both have the same faces."""
        await self._send(
            calls.change("user/copy", user_id=user, src_group_id=source, dst_group_id=target)
        )

    async def delete_user(self, user: str, group: str) -> None:
        """Delete a user from a group, or with "@ALL" from all."""
        await self._send(calls.change("user/delete", user_id=user, group_id=group))

    # Groups, and the service itself.

    async def create_group(self, group: str) -> None:
        """Make a group, and the app with its first one."""
        await self._send(calls.change("group/add", group_id=group))

    async def delete_group(self, group: str) -> None:
        """Delete a group with its users."""
        await self._send(calls.change("group/delete", group_id=group))

    async def groups(self, start: int = 0, length: int = 100) -> tuple[str, ...]:
        """Names of the app's groups, `length` (up to 1000) from number `start` on."""
        return await self._send(
            calls.listing("group/list", "group_id_list", start=start, length=length)
        )

    async def apps(self) -> tuple[str, ...]:
        """Names of the apps that the key may see."""
        return await self._send(calls.listing("app/list", "app_id_list"))

    async def delete_app(self, app: str) -> None:
        """Delete an app with its people and keys; where keys are asked for, an admin's."""
        await self._send(calls.change("app/delete", appid=app))

    async def app_statistics(self, apps: Names = ()) -> tuple[AppStatistics, ...]:
        """Apps in numbers: those named, of what the key may see, or all that it may see."""
        return await self._send(calls.app_statistics(apps))

    async def group_statistics(
        self, groups: Names = (), app: str | None = None
    ) -> tuple[GroupStatistics, ...]:
        """An app's groups in numbers: those named, or all. app: the key's own by default."""
        return await self._send(calls.group_statistics(groups, app))

    async def health(self) -> HealthReport:
        """Whether a request would be answered now, and if not, why. Needs no key."""
        return await self._send(calls.health())
