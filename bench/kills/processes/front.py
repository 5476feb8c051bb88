"""What answers at the gateway's address: a gateway alone, or for a while the whole service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import psutil

from bench.kills.databases import Database
from bench.kills.installation import Installation
from bench.kills.processes.nursery import GATEWAY
from bench.kills.processes.processes import Program, Programs, Supervisor, supervisor
from bench.kills.record import Record
from bench.kills.truth import Fence, Finding

# Seconds after which something that does not start, or does not end, is a finding.
PATIENCE_S = 180.0
_POLL_S = 0.05


class Generation:
    """What answers from one start to the next.

    started: `time.monotonic`. is_over: nothing of it, nor of those before, can still be done.
    """

    def __init__(
        self, number: int, process: Program | Supervisor, ready: asyncio.Future[bool]
    ) -> None:
        self.number = number
        self.process = process
        self.ready = ready
        self.started = process.started
        self.is_over = False


class Front:
    """Starts and kills what answers; one generation at a time."""

    def __init__(
        self,
        installation: Installation,
        programs: Programs,
        database: Database,
        record: Record,
    ) -> None:
        self._installation = installation
        self._programs = programs
        self._database = database
        self._record = record
        self._tasks: set[asyncio.Task[None]] = set()
        self._past: asyncio.Task[None] | None = None
        self.current: Generation | None = None

    @property
    def number(self) -> int:
        """Of the generation; each start makes a new one."""
        return 0 if self.current is None else self.current.number

    def fence(self) -> Fence:
        """Passes when whatever has been asked until now has ended."""
        generation = self.current
        if generation is None:
            raise RuntimeError("nothing has been started")
        return lambda: generation.is_over

    def start_gateway(self, what: str = "", since: float | None = None) -> None:
        """Start the gateway; its readiness is noted as a restart of `what` that began `since`."""
        number = self.number + 1
        config = str(self._installation.gateway)
        name = f"{self._database.name}-gateway-{number}"
        program = self._programs.start(name, GATEWAY, [config])
        self.current = Generation(number, program, program.ready)
        self._keep(self._watch(self.current, what, since))

    async def until_ready(self) -> None:
        """Return when the present generation answers. Raises RuntimeError where it does not."""
        generation = self.current
        if generation is None or not await asyncio.wait_for(
            asyncio.shield(generation.ready), PATIENCE_S
        ):
            raise RuntimeError(f"the gateway did not start; see {self._installation.log}")

    async def is_ready(self, seconds: float) -> bool:
        """Whether what there is answers within a time."""
        if self.current is None:
            return False
        ready = self.current.ready
        await asyncio.wait({ready}, timeout=seconds)
        return ready.done() and ready.result()

    async def kill(self) -> float:
        """Kill what answers; when, as `time.monotonic`."""
        generation = self.current
        if generation is None:
            raise RuntimeError("nothing has been started")
        moment = time.monotonic()
        await generation.process.kill()
        self._end(generation)
        return moment

    async def end(self) -> int:
        """End what answers properly; its exit status."""
        generation = self.current
        if generation is None:
            raise RuntimeError("nothing has been started")
        status = await generation.process.end()
        self._end(generation)
        return status

    async def settled(self) -> None:
        """Return when nothing of what was killed can still be done."""
        if self._past is not None:
            await self._past

    def _end(self, generation: Generation) -> None:
        before = self._past

        async def past() -> None:
            if before is not None:
                await before
            await self._database.gone(generation.process.name)
            generation.is_over = True

        self._past = asyncio.create_task(past())
        self._tasks.add(self._past)

    async def start_service(self) -> None:
        """Start the whole service; returns when it is ready."""
        number = self.number + 1
        config, log = self._installation.service, self._installation.log
        process = await supervisor(f"{self._database.name}-service-{number}", config, log)
        ready = asyncio.ensure_future(process.is_ready())
        self.current = generation = Generation(number, process, ready)
        await self.until_ready()
        self._record.restarted("service", time.monotonic() - generation.started)

    async def kill_gateway_of_service(self) -> None:
        """Kill the gateway below the supervisor, and return when it has been replaced."""
        (gateway,) = await self._gateways_of_service(set())
        moment = time.monotonic()
        gateway.kill()
        await self._gateways_of_service({gateway.pid})
        self._record.restarted("gateway of the service", time.monotonic() - moment)

    async def _gateways_of_service(self, gone: set[int]) -> list[psutil.Process]:
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            found = [one for one in self._children() if one.pid not in gone]
            gateways = [one for one in found if GATEWAY in _command(one)]
            if gateways and await self._listens():
                return gateways[:1]
            await asyncio.sleep(_POLL_S)
        raise RuntimeError("the service does not start its gateway again")

    async def kill_service(self) -> int:
        """Kill the supervisor alone; how many processes went with it."""
        children = self._children()
        await self.kill()
        _, alive = await asyncio.to_thread(psutil.wait_procs, children, 10.0)
        for one in alive:
            with suppress(psutil.Error):
                said = f"process {one.pid} went on after its supervisor was killed"
                self._record.found([Finding("survivor", _command(one)[-60:], said)])
                one.kill()
        return 1 + len(children)

    def _children(self) -> list[psutil.Process]:
        if self.current is None:
            return []
        with suppress(psutil.Error):
            return psutil.Process(self.current.process.pid).children(recursive=True)
        return []

    async def _listens(self) -> bool:
        host, _, port = self._installation.url.rpartition("//")[2].partition(":")
        with suppress(OSError):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            return True
        return False

    async def _watch(self, generation: Generation, what: str, since: float | None) -> None:
        if await generation.ready and what and since is not None:
            self._record.restarted(what, time.monotonic() - since)
        status = await generation.process.wait()
        if not generation.process.was_killed:
            said = f"ended with status {status} by itself"
            self._record.found([Finding("service", "gateway", said)])
            self._end(generation)
            self.start_gateway()

    def _keep(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Kill what is there."""
        if self.current is not None:
            children = self._children()
            await self.current.process.kill()
            await asyncio.to_thread(psutil.wait_procs, children, 10.0)
        for task in list(self._tasks):
            task.cancel()


def _command(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""
