"""Comparisons asked of a tenant's gateway: one after the other, or as many as it can do.

``-m bench.tenants.asking URL KEYFILE CONNECTIONS`` asks until it is ended.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import httpx

from bench.load.pictures import make_sets
from runtime.process import die_with_parent

_TIMEOUT_S = 60.0
_PAUSE_S = 0.5


class Asking:
    """Asks a gateway for one comparison at a time, over one connection."""

    def __init__(self, url: str, key: str) -> None:
        self._client = httpx.Client(
            base_url=url, headers={"X-Api-Key": key}, timeout=_TIMEOUT_S, trust_env=False
        )
        (pictures,) = make_sets(["vga"])
        # As fields of the form, which are no files.
        field = (None, pictures.pictures[0])
        self._form = {"image1": field, "image2": field}

    def ask(self) -> float:
        """Ask once; seconds to the answer. Raises httpx.HTTPError for another answer than 200."""
        start = time.perf_counter()
        self._client.post("/compare", files=self._form).raise_for_status()
        return time.perf_counter() - start

    def for_seconds(self, seconds: float) -> list[float]:
        """One after the other for so long; seconds of each."""
        end = time.perf_counter() + seconds
        found = []
        while time.perf_counter() < end:
            found.append(self.ask())
        return found

    def for_ever(self) -> None:
        """One after the other, also while the gateway is away or busy."""
        while True:
            try:
                self.ask()
            except httpx.HTTPError:
                time.sleep(_PAUSE_S)


def _main(url: str, key_file: str, connections: str) -> None:
    die_with_parent()
    key = Path(key_file).read_text(encoding="ascii").strip()
    threads = [
        threading.Thread(target=Asking(url, key).for_ever) for _ in range(int(connections))
    ]  # fmt: skip
    for thread in threads:
        thread.start()


if __name__ == "__main__":
    _main(*sys.argv[1:])
