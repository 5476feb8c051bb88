"""Places of requests: how many are worked on, how many send their bodies, and who has them."""

from __future__ import annotations

from starlette.requests import Request

from gateway.errors import ApiError, ErrorCode
from settings.gateway import GatewayConfig
from web.unpacking import Unpacker
from web.uploads import Body, Quota, Receive, TooSlowError, Upload, Uploads

# Requests that send their bodies, for each that may be worked on: they take memory only.
_UPLOADS = 4


class Places:
    """Everybody's. A request that sends its body has none of the places of those worked on."""

    def __init__(self, config: GatewayConfig) -> None:
        self.working = Quota(config.requests)
        self.uploads = Uploads(
            _UPLOADS * config.requests, config.upload_bytes, config.request_bytes
        )

    def enter(self, always: bool) -> Place:
        """A place for a request of which no more than its head is known.

        It is nobody's until `Place.receive` tells whose. always: even where none is left.
        Raises ApiError TOO_MANY_REQUESTS.
        """
        if self.working.take(""):
            return Place(self, "")
        if always:
            return Place(self, None)
        raise _too_many()


class Place:
    """One request's, from its head to its answer."""

    def __init__(self, places: Places, owner: str | None) -> None:
        """owner: of the place among those that are worked on; None for none of them."""
        self._places = places
        self._owner = owner
        self._upload: Upload | None = None
        self.is_stalled = False  # the rest of the body is not waited for any longer

    async def receive(
        self,
        receive: Receive,
        owner: str,
        seconds: float,
        most: int,
        unpacker: Unpacker | None = None,
    ) -> Body:
        """The request's body; from then on it is worked on, in a place of the owner's share.

        unpacker: of a packed body.
        Raises ApiError TOO_MANY_REQUESTS, and what `Uploads` raises.
        """
        uploads = self._places.uploads
        self._stop_working()
        self._upload = upload = uploads.begin(owner)
        try:
            body = await uploads.receive(upload, receive, seconds, most, unpacker)
        except TooSlowError:
            self.is_stalled = True
            raise
        if not self._places.working.take(owner):
            raise _too_many()
        self._owner = owner
        return body

    def leave(self) -> None:
        """The request has been answered, or given up."""
        self._stop_working()
        if self._upload is not None:
            self._places.uploads.end(self._upload)

    def _stop_working(self) -> None:
        if self._owner is not None:
            self._places.working.give(self._owner)
            self._owner = None


def place_of(request: Request) -> Place:
    """The request's place, which the gate has given it."""
    place: Place = request.scope["place"]
    return place


def _too_many() -> ApiError:
    return ApiError(ErrorCode.TOO_MANY_REQUESTS, "too many requests are under way")
