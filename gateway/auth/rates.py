"""How often a key may call, and how often an address may show a wrong one."""

from __future__ import annotations

import ipaddress
import math
import time
from collections import OrderedDict, deque
from fractions import Fraction
from functools import lru_cache

# So many wrong credentials of an address within so many seconds, and further ones wait.
FAILURES = 30
FAILURES_S = 60.0
# Addresses, and keys, that are remembered; those not heard of for longest are forgotten.
MOST = 10_000
# For what is no address.
NO_ADDRESS = "unknown"
# Seconds of the longest window that a rate of one request a second or more is counted in.
_LONGEST_WINDOW_S = 10


@lru_cache(maxsize=1024)
def window_of(rate: float) -> tuple[int, float]:
    """A rate, requests a second, as (requests, seconds): 2.5 is 5 requests in 2 seconds."""
    if rate < 1:
        return 1, 1 / rate
    fraction = Fraction(rate).limit_denominator(_LONGEST_WINDOW_S)
    return fraction.numerator, float(fraction.denominator)


class Rates:
    """Counts the requests of keys, each in a window that moves with the time.

    The times of the requests in the window are kept, about 32 bytes each.
    """

    def __init__(self) -> None:
        self._windows: OrderedDict[str, deque[float]] = OrderedDict()

    def admit(self, key: str, rate: float) -> bool:
        """Whether a key may call now; `rate`: requests a second, 0 for any number."""
        if rate <= 0:
            return True
        most, seconds = window_of(rate)
        now = time.monotonic()
        calls = self._windows.setdefault(key, deque())
        self._windows.move_to_end(key)
        if len(self._windows) > MOST:
            self._windows.popitem(last=False)
        while calls and calls[0] <= now - seconds:
            calls.popleft()
        if len(calls) >= most:
            return False
        calls.append(now)
        return True


class Failures:
    """Counts the wrong credentials of addresses; of IPv6, those of a /64 network together."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def add(self, address: str) -> None:
        """Count one."""
        source = source_of(address)
        since, count = self._recent(source)
        self._failures[source] = (since, count + 1)
        self._failures.move_to_end(source)
        if len(self._failures) > MOST:
            self._failures.popitem(last=False)

    def too_many(self, address: str) -> bool:
        """Whether an address has shown too many wrong credentials lately."""
        return self._recent(source_of(address))[1] >= FAILURES

    def _recent(self, source: str) -> tuple[float, int]:
        now = time.monotonic()
        since, count = self._failures.get(source, (-math.inf, 0))
        return (since, count) if now - since < FAILURES_S else (now, 0)


def source_of(address: str) -> str:
    """Who has the address: a network of IPv6 is one subscriber's.

    All that is no address is one: it is what a client has made up, and may be of any length.
    """
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return NO_ADDRESS
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Network((int(parsed), 64), strict=False))
    return str(parsed)
