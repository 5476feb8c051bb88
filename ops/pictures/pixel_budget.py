"""How many decoded pixels are held in memory by all requests together."""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import dataclass

# One part in so many is kept for small requests, each of which may take a quarter of it: they
# pass while a large one waits for room.
_SMALL_PART = 8
_SMALL_REQUESTS = 4


@dataclass(frozen=True)
class Reservation:
    """Pixels that a request may decode. small: out of the part that is kept for small ones."""

    pixels: int
    small: bool


class PixelBudget:
    """Bounds the pixels that requests hold.

    A request reserves what all its pictures need before the first is decoded, so that two
    half-decoded requests cannot wait for each other. Who has to wait stands in line; large
    requests are served in the order in which they came, or small ones would starve them.
    """

    def __init__(self, total: int, picture: int) -> None:
        """total: pixels of all requests. picture: of the largest picture that is taken."""
        small = max(min(total // _SMALL_PART, total - picture), 0)
        self.most = total - small  # pixels that one request may ask for
        self._small_most = small // _SMALL_REQUESTS
        self._free = {False: self.most, True: small}
        self._line: list[Hashable] = []
        self._lock = threading.Lock()

    def fits(self, pixels: int, owner: Hashable) -> bool:
        """Whether `reserve` would succeed now."""
        return self._part(pixels, owner) is not None

    def reserve(self, pixels: int, owner: Hashable) -> Reservation | None:
        """Take `pixels` for a request, or put it in line where there is no room.

        pixels: `most` at most. owner: the request; it asks again, or is forgotten.
        """
        with self._lock:
            small = self._part(pixels, owner)
            if small is None:
                if owner not in self._line:
                    self._line.append(owner)
                return None
            if owner in self._line:
                self._line.remove(owner)
            self._free[small] -= pixels
            return Reservation(pixels, small)

    def forget(self, owner: Hashable) -> None:
        """Let a request that was given up leave the line."""
        with self._lock:
            if owner in self._line:
                self._line.remove(owner)

    def release(self, reservation: Reservation) -> None:
        """Give back what a request held."""
        with self._lock:
            self._free[reservation.small] += reservation.pixels

    def _part(self, pixels: int, owner: Hashable) -> bool | None:
        """Whether the pixels come out of the part for small requests; None: there is no room."""
        line = self._line
        if pixels <= self._free[False] and (not line or line[0] is owner):
            return False
        if pixels <= min(self._small_most, self._free[True]):
            return True
        return None
