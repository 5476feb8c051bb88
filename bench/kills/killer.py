"""Kills what a round names, in the middle of its work, and starts it again."""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import statistics
import time
from contextlib import suppress

import psutil

from bench.kills.databases import Database, PostgreSqlServer
from bench.kills.keys import Trouble
from bench.kills.kinds import TOGETHER, Round
from bench.kills.operator.order import Done, Order
from bench.kills.operator.orders import Operator
from bench.kills.processes.front import PATIENCE_S, Front
from bench.kills.processes.processes import Program, Programs, Supervisor
from bench.kills.record import Record
from bench.kills.truth import Finding

# Operations that a gateway acknowledges before it is killed, if it does within so many seconds,
# and seconds within which the kill comes then.
_WORK, _WORK_S, _WITHIN_S = (0, 60), 20.0, 0.05
# Seconds between kills of the database.
_SERVER_S = (0.5, 4.0)
# Commands under way at a time.
COMMANDS_AT_ONCE = 2
# The share of commands that nobody kills: what they say has to be true, too.
_SPARED = 0.35
# Seconds between opening the database and the end of a command, before one has ended.
_FIRST_GUESS_S = 0.3
_POLL_S = 0.005
PIPELINE_MODULE = "ops.serving"


class Killer:
    """Carries out rounds. pipeline: the supervisor of the pipeline that the gateway uses."""

    def __init__(
        self,
        front: Front,
        operator: Operator,
        database: Database,
        programs: Programs,
        pipeline: Supervisor,
        trouble: Trouble,
        record: Record,
        choose: random.Random,
    ) -> None:
        self._front = front
        self._operator = operator
        self._database = database
        self._programs = programs
        self._pipeline = pipeline
        self._trouble = trouble
        self._record = record
        self._choose = choose
        self._numbers = itertools.count()
        self._front_turn = asyncio.Lock()
        self._works: dict[str, list[float]] = {}
        # When the database was killed, by which a command may fail.
        self._outages: list[tuple[float, float]] = []

    async def round(self, kills: Round) -> None:
        """Kill all that a round names."""
        waiting = list(reversed(kills.commands))

        async def work() -> None:
            while waiting:
                await self._command_kill(waiting.pop())

        await asyncio.gather(
            self._front_kills(kills),
            *(work() for _ in range(COMMANDS_AT_ONCE)),
            self._server_kills(kills),
        )

    def _note(self, kind: str, processes: int = 1) -> None:
        self._record.kills[kind] += 1
        self._record.processes_killed += processes

    # What answers.

    async def _front_kills(self, kills: Round) -> None:
        for kind in kills.front:
            if kind == "pipeline":
                await self._kill_pipeline()
                continue
            async with self._front_turn:
                await self._kill_front(kind)

    async def _kill_front(self, kind: str) -> None:
        await self._kill_gateway()
        if kind == "gateway while it starts":
            # As long as it may take; one that is ready by then is killed all the same.
            times = self._record.restarts.get("gateway", [1.0])
            await asyncio.sleep(self._choose.uniform(0.1, statistics.median(times)))
            moment = await self._front.kill()
            self._front.start_gateway("gateway", moment)
            self._note(kind)
        if kind == "service":
            await self._kill_service()

    async def _kill_gateway(self) -> None:
        await self._front.until_ready()
        await self._some_work()
        moment = await self._front.kill()
        self._front.start_gateway("gateway", moment)
        self._note("gateway")

    async def _kill_service(self) -> None:
        """The whole service in the gateway's place: its gateway is killed, then its supervisor."""
        await self._front.kill()
        self._note("gateway while it starts")
        await self._front.start_service()
        await self._some_work()
        await self._front.kill_gateway_of_service()
        self._note("gateway of the service")
        await self._some_work()
        moment = time.monotonic()
        processes = await self._front.kill_service()
        self._note("service", processes)
        self._front.start_gateway("gateway", moment)

    async def _some_work(self) -> None:
        """Return after some acknowledged operations, in the middle of others."""
        enough = sum(self._record.acknowledged.values()) + self._choose.randrange(*_WORK)
        give_up = time.monotonic() + _WORK_S
        while sum(self._record.acknowledged.values()) < enough and time.monotonic() < give_up:
            await asyncio.sleep(_POLL_S)
        await asyncio.sleep(self._choose.uniform(0.0, _WITHIN_S))

    async def _kill_pipeline(self) -> None:
        """Kill the pipeline below its supervisor, which starts it again meanwhile."""
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            with suppress(psutil.Error):
                for child in psutil.Process(self._pipeline.pid).children():
                    if PIPELINE_MODULE in " ".join(child.cmdline()):
                        child.kill()
                        self._note("pipeline")
                        return
            await asyncio.sleep(0.1)
        raise RuntimeError("the pipeline is not started again")

    # The database.

    async def _server_kills(self, kills: Round) -> None:
        if not isinstance(self._database, PostgreSqlServer):
            return
        for kind in kills.server:
            await asyncio.sleep(self._choose.uniform(*_SERVER_S))
            moment = time.monotonic()
            # Open to the future, for whatever fails until it is over.
            self._outages.append((moment, float("inf")))
            killed = await self._database.kill(kind, self._choose)
            now = time.monotonic()
            self._outages[-1] = (moment, now)
            self._trouble.note_outage(moment, now)
            if killed:
                self._note(kind, killed)
                self._record.restarted(kind, now - moment)

    # Commands.

    async def _command_kill(self, kind: str) -> None:
        """Commands of a kind, until one has been killed in the middle."""
        while True:
            if kind == "several commands":
                if await self._kill_together():
                    return
                continue
            order = self._operator.prepare(kind)
            program = self._start(order)
            opened = await self._until_they_work([program])
            # One that only makes what the wanted one needs is left alone.
            if order.kind == kind and self._choose.random() >= _SPARED:
                work = statistics.median(self._works.get(order.kind, [_FIRST_GUESS_S]))
                await asyncio.wait({program.ended}, timeout=self._choose.uniform(0.0, 1.1 * work))
                if not program.has_ended:
                    program.send_kill()
            done = await self._finish(order, program, opened)
            if done.killed:
                self._note(order.kind)
                return

    async def _kill_together(self) -> int:
        """Several commands, and the gateway now and then, killed at one moment; how many."""
        with_gateway = self._choose.random() < 0.5
        orders = [self._operator.prepare(kind) for kind in self._choose.sample(TOGETHER, 3)]
        async with self._front_turn:
            if with_gateway:
                await self._front.until_ready()
            programs = [self._start(order) for order in orders]
            opened = await self._until_they_work(programs)
            await asyncio.sleep(self._choose.uniform(0.0, _FIRST_GUESS_S / 2))
            for program in programs:
                program.send_kill()
            if with_gateway:
                moment = await self._front.kill()
                self._front.start_gateway("gateway", moment)
        ends = [
            await self._finish(order, program, opened) for order, program in zip(orders, programs)
        ]
        killed = sum(done.killed for done in ends)
        if killed:
            self._note("several commands", killed + with_gateway)
        return killed

    async def run(self, order: Order) -> Done:
        """A command that nobody kills."""
        return await self._finish(order, self._start(order), time.monotonic())

    def _start(self, order: Order) -> Program:
        name = f"{self._database.name}-command-{next(self._numbers)}"
        return self._programs.start(name, order.module, order.arguments)

    async def _until_they_work(self, programs: list[Program]) -> float:
        """Return when all have the database open or have ended; when, by `time.monotonic`."""
        waiting = programs
        while waiting:
            file = self._database.file
            waiting = [one for one in waiting if not one.has_ended and not one.uses(file)]
            if waiting:
                await asyncio.sleep(_POLL_S)
        return time.monotonic()

    async def _finish(self, order: Order, program: Program, opened: float) -> Done:
        """Judge a command that is ending. opened: when it had the database open."""
        status = await program.wait()
        done = Done(program.was_killed and status < 0, status, *program.output())
        if done.succeeded:
            self._works.setdefault(order.kind, []).append(time.monotonic() - opened)
        else:
            # Its session may still commit; what can be said of it is known when that is gone.
            await self._database.gone(program.name)
        if order.acknowledged(done):
            self._record.acknowledged[order.kind] += 1
        else:
            self._record.unknown[order.kind] += 1
            self._blame(order, done, program)
        await order.end(done)
        return done

    def _blame(self, order: Order, done: Done, program: Program) -> None:
        """A command that nobody killed has to succeed, unless the database or pipeline was away."""
        now = time.monotonic()
        away = any(start <= now and program.started <= end for start, end in self._outages)
        if done.killed or away or re.search("database_locked|user_not_found", done.errors):
            return
        if order.kind in ("library import", "library verify"):
            return  # the pipeline may be away; what verify finds is judged by itself
        said = f"status {done.status}: {(done.errors or done.out).strip()[-300:]}"
        self._record.found([Finding("command", order.kind, said)])
