"""What the gateway depends on beside its processes: room on the disks, the proxy's certificate."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from prometheus_client.core import Metric

from gateway.backends.shared_result import SharedResult
from gateway.monitoring.certificate import expiry_of
from gateway.monitoring.disks import Room, folders_of, rooms
from gateway.monitoring.gauges import certificate_families, disk_families
from settings.config import Config

DISKS_S = 10.0  # how old what is known of the disks may be,
CERTIFICATE_S = 60.0  # and of the certificate
TIMEOUT_S = 2.0  # for each of them; one that hangs is looked at once more when it has answered


class Surroundings:
    """Looks at them. To be used on the event loop."""

    def __init__(self, config: Config) -> None:
        self._folders = folders_of(config)
        self._address = config.gateway.tls_address
        self._is_shown = False
        self._expiry: float | None = None
        self._rooms: dict[str, Room] = {}
        self._rooms_kept: SharedResult[None] = SharedResult(DISKS_S)
        self._certificate_kept: SharedResult[bool] = SharedResult(CERTIFICATE_S)

    async def families(self) -> list[Metric]:
        """The families of /metrics. What does not answer in time is missing or as it was."""
        await asyncio.gather(self._look_at_disks(), self._look_at_certificate())
        return [*disk_families(self._rooms), *self._certificate()]

    async def _look_at_disks(self) -> None:
        # A file system of the network may hang; a thread waits for it then, and only one.
        looked = self._rooms_kept.begun(self._find_rooms)
        done, _ = await asyncio.wait({looked}, timeout=TIMEOUT_S)
        if not done:
            self._rooms = {}

    async def _find_rooms(self) -> None:
        self._rooms = await asyncio.to_thread(rooms, self._folders)

    async def _look_at_certificate(self) -> None:
        if self._address:
            self._is_shown = await self._certificate_kept.get(self._find_expiry)

    async def _find_expiry(self) -> bool:
        # ValueError: what is no certificate, or a name that cannot be one of a machine.
        with suppress(OSError, TimeoutError, ValueError):
            self._expiry = await expiry_of(self._address, TIMEOUT_S)
            return True
        return False

    def _certificate(self) -> Iterable[Metric]:
        if not self._address:
            return []
        return certificate_families(self._address, self._is_shown, self._expiry)
