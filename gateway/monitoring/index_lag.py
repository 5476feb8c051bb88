"""For how long each app's index has been behind the database."""

from __future__ import annotations

from collections.abc import Mapping

from library.records import IndexPlace


class IndexLag:
    """Remembers from look to look what an index had not reached.

    Under steady changes an index lacks a few at every look and is never late: it is late when it
    has still not reached what the database had at an earlier look.
    """

    def __init__(self) -> None:
        self._lacking: dict[str, tuple[int, float]] = {}

    def seconds(self, places: Mapping[str, IndexPlace], now: float) -> dict[str, float]:
        """For how long each app's index has been lacking what it lacks; 0 where that is new.

        now: on one clock from call to call.
        """
        lacking = {}
        for app, place in places.items():
            version, since = self._lacking.get(app, (0, now))
            if place.reached >= version:
                version, since = place.version, now
            if place.reached < version:
                lacking[app] = version, since
        self._lacking = lacking
        return {app: now - lacking[app][1] if app in lacking else 0.0 for app in places}
