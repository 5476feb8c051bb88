"""What the application consists of."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

from gateway.auth.access import Access
from gateway.auth.audit import Audit
from gateway.context import Backends
from gateway.http.body import Bodies
from gateway.http.places import Places
from gateway.monitoring.health import Health


class Components:
    """Everything that lives as long as the application; closed together."""

    def __init__(
        self,
        backends: Backends,
        access: Access,
        audit: Audit | None,
        licences: Mapping[str, str] | None = None,
    ) -> None:
        self.backends = backends
        self.access = access
        self.audit = audit
        self.places = Places(backends.config)
        self.bodies = Bodies(backends.config.request_bytes)
        self.health = Health(backends.pipeline, backends.library, time.monotonic(), audit, licences)

    async def close(self) -> None:
        """Let go of everything, the library first: it has most to write."""
        backends = self.backends
        await backends.library.close()
        await self.access.close()
        await backends.pipeline.close()
        if backends.urls is not None:
            await backends.urls.close()
        await asyncio.to_thread(backends.face_tokens.close)
        if self.audit is not None:
            await asyncio.to_thread(self.audit.close)
