"""Refused requests, summed: who is refused without end takes a few lines of a log a minute."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from gateway.auth.rates import source_of

OTHER = "other"
# Seconds that are summed in one line.
PERIOD_S = 60.0
# Kinds of refusals that are told apart within that time: of all addresses, and of one of them.
# Further ones are counted together, under the address or the path "other".
MOST_KINDS = 250
MOST_PLACES = 8
# Different keys and apps of a kind that are named.
_MOST_NAMES = 8


@dataclass(frozen=True)
class Refusal:
    """A request that was refused. address: of an IP, or a word for none. path: of a route.

    key: the id of the key that it named, right or wrong, or "". app: "" where it is not known.
    """

    address: str
    path: str
    error_code: int
    key: str
    app: str
    log_id: int
    request_id: str


@dataclass
class _Sum:
    """What has been refused since `begun`. count, first, last: of those that no line tells yet."""

    address: str
    path: str
    error_code: int
    begun: float
    count: int = 0
    first: float = 0.0
    last: float = 0.0
    log_id: int = 0
    request_id: str = ""
    keys: set[str] = field(default_factory=set)
    apps: set[str] = field(default_factory=set)

    def add(self, refusal: Refusal, now: float) -> None:
        self.first = self.first if self.count else now
        self.last = now
        self.count += 1
        self.log_id, self.request_id = refusal.log_id, refusal.request_id
        for names, name in ((self.keys, refusal.key), (self.apps, refusal.app)):
            if name and len(names) < _MOST_NAMES:
                names.add(name)

    def take_line(self) -> str:
        document: dict[str, Any] = {
            "time": told(self.last),
            "event": "refused",
            "address": self.address,
            "path": self.path,
            "error_code": self.error_code,
            "count": self.count,
            "first": told(self.first),
            "last": told(self.last),
            "keys": sorted(self.keys),
            "apps": sorted(self.apps),
            # Of the last one.
            "log_id": self.log_id,
            "request_id": self.request_id,
        }
        self.count = 0
        self.keys.clear()
        self.apps.clear()
        return json.dumps(document) + "\n"


class Refusals:
    """Sums refusals by address (of IPv6, by its /64 network), path and number of the error.

    The first of a kind has a line at once; those that follow within a minute have one together,
    when that is over. Not thread safe; times are seconds since 1970.
    """

    def __init__(self) -> None:
        self._sums: dict[tuple[str, str, int], _Sum] = {}
        self._places: dict[str, int] = {}  # kinds by address

    def add(self, refusal: Refusal, now: float) -> str:
        """Count one; the line that is to be written now, or ""."""
        one = self._sum_of(refusal, now)
        is_first = not one.last
        one.add(refusal, now)
        return one.take_line() if is_first else ""

    def due(self, now: float, all_of_them: bool = False) -> str:
        """The lines of what has been summed for a minute, or of everything."""
        text = []
        for kind, one in list(self._sums.items()):
            # A clock that was put back must not keep sums for as long.
            if all_of_them or not 0 <= now - one.begun < PERIOD_S:
                text.append(one.take_line() if one.count else "")
                del self._sums[kind]
                self._places[one.address] -= 1
                if not self._places[one.address]:
                    del self._places[one.address]
        return "".join(text)

    def _sum_of(self, refusal: Refusal, now: float) -> _Sum:
        address, path = source_of(refusal.address), refusal.path
        if (address, path, refusal.error_code) not in self._sums:
            if len(self._sums) >= MOST_KINDS:
                address = path = OTHER
            elif self._places.get(address, 0) >= MOST_PLACES:
                path = OTHER
        kind = address, path, refusal.error_code
        if kind not in self._sums:
            self._sums[kind] = _Sum(*kind, begun=now)
            self._places[address] = self._places.get(address, 0) + 1
        return self._sums[kind]

    def __len__(self) -> int:
        return len(self._sums)


def told(time: float) -> str:
    """A time in the log's form."""
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds")
