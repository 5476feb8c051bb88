"""What the application consists of."""

from __future__ import annotations

import asyncio
import time

from gateway.auth.access import Access
from gateway.auth.audit import Audit
from gateway.context import Services
from gateway.http.body import Bodies
from gateway.http.places import Places
from gateway.monitoring.health import Health


class Parts:
    """Everything that lives as long as the application; closed together."""

    def __init__(self, services: Services, access: Access, audit: Audit | None) -> None:
        self.services = services
        self.access = access
        self.audit = audit
        self.places = Places(services.config)
        self.bodies = Bodies(services.config.request_bytes)
        self.health = Health(services.pipeline, services.people, time.monotonic(), audit)

    async def close(self) -> None:
        """Let go of everything, the library first: it has most to write."""
        services = self.services
        await services.people.close()
        await self.access.close()
        await services.pipeline.close()
        if services.urls is not None:
            await services.urls.close()
        await asyncio.to_thread(services.tokens.close)
        if self.audit is not None:
            await asyncio.to_thread(self.audit.close)
