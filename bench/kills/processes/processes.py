"""Processes that the bench starts, and kills by their ids."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from runtime.process import child_environment
from runtime.tethered_child import ROOT

_END_S = 60.0
# Of the bench's own children: gRPC complains about its poller when a process ends while it starts.
_ENVIRONMENT = {"GRPC_VERBOSITY": "NONE"}


class Supervisor:
    """A ``web_service.py``, started as an operator does. name: of connections to a server."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.started = time.monotonic()
        self.was_killed = False
        self._process = process
        self._drain: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    async def wait(self) -> int:
        """Its exit status, once it has ended; negative for a signal."""
        return await self._process.wait()

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.was_killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()

    async def end(self) -> int:
        """SIGTERM; its exit status."""
        self.was_killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            return await asyncio.wait_for(self._process.wait(), _END_S)
        except TimeoutError:
            await self.kill()
            return await self._process.wait()

    async def is_ready(self) -> bool:
        """Whether it gets ready; False where it ends before."""
        stdout = self._process.stdout
        if stdout is None:
            raise TypeError("the process was started without a pipe")
        async for line in stdout:
            if line.startswith(b"ready"):
                self._drain = asyncio.create_task(_drained(stdout))
                return True
        return False


async def supervisor(name: str, config: Path, log: Path) -> Supervisor:
    """Start ``web_service.py``. log: where it complains. To be called in the main thread."""
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "runtime.tethered", "web_service.py", "--config", str(config)),
            cwd=ROOT,
            env={**child_environment(), **_ENVIRONMENT, "PGAPPNAME": name},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=file,
            # A Ctrl-C in the terminal reaches the bench, which ends them then.
            start_new_session=True,
        )
    return Supervisor(name, process)


async def _drained(stdout: asyncio.StreamReader) -> None:
    """Read on what nobody is interested in, so that the writer does not wait."""
    while await stdout.read(4096):
        pass


class Program:
    """A program of the nursery. name: what its connections to a server are called."""

    def __init__(self, nursery: Programs, number: int, name: str, folder: Path) -> None:
        loop = asyncio.get_running_loop()
        self.name = name
        self.started = time.monotonic()
        self.was_killed = False
        self.pid = 0
        # Whether it has said that it serves; False where it ended before.
        self.ready: asyncio.Future[bool] = loop.create_future()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.out, self.errors = folder / f"{name}.out", folder / f"{name}.errors"
        self._nursery = nursery
        self._number = number

    @property
    def has_ended(self) -> bool:
        """Whether it is gone."""
        return self.ended.done()

    async def wait(self) -> int:
        """Its exit status, once it has ended; negative for a signal."""
        return await asyncio.shield(self.ended)

    def send_kill(self) -> None:
        """SIGKILL, without waiting for the end."""
        self.was_killed = True
        self._nursery.send(kill=self._number)

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self.send_kill()
        await self.wait()

    async def end(self) -> int:
        """SIGTERM; its exit status."""
        self.was_killed = True
        self._nursery.send(kill=self._number, signal=15)
        try:
            return await asyncio.wait_for(self.wait(), _END_S)
        except TimeoutError:
            await self.kill()
            return await self.wait()

    def output(self) -> tuple[str, str]:
        """What it has written to standard output and error; the files are gone then."""
        texts = []
        for file in (self.out, self.errors):
            texts.append(file.read_text(errors="replace") if file.exists() else "")
            file.unlink(missing_ok=True)
        return texts[0], texts[1]

    def uses(self, file: str) -> bool:
        """Whether it has the database open: a file of this name, or where "" a connection."""
        links = []
        with contextlib.suppress(OSError):
            for descriptor in os.scandir(f"/proc/{self.pid}/fd"):
                with contextlib.suppress(OSError):
                    links.append(os.readlink(descriptor.path))
        if not file:
            return any(link.startswith("socket:") for link in links)
        return any(link.endswith(f"/{file}") for link in links)


class Programs:
    """Starts programs by the nursery, which it starts as well. folder: of their output."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = itertools.count(1)
        self._all: dict[int, Program] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Start the nursery; returns when it is ready. To be called in the main thread."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bench.kills.processes.nursery"),
            cwd=ROOT,
            env={**child_environment(), **_ENVIRONMENT},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        if self._process.stdout is None or not await self._process.stdout.readline():
            raise RuntimeError("the programs cannot be started")
        self._listening = asyncio.create_task(self._listen(self._process.stdout))

    def start(self, name: str, module: str, arguments: Sequence[str]) -> Program:
        """Start a program. name: nobody else's."""
        number = next(self._numbers)
        program = self._all[number] = Program(self, number, name, self._folder)
        self.send(
            start=number,
            module=module,
            arguments=list(arguments),
            environment={"PGAPPNAME": name},
            out=str(program.out),
            errors=str(program.errors),
        )
        return program

    def send(self, **asked: object) -> None:
        """Tell the nursery."""
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("the programs are not open")
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")

    async def _listen(self, stdout: asyncio.StreamReader) -> None:
        async for line in stdout:
            said = json.loads(line)
            if "started" in said:
                self._all[said["started"]].pid = said["pid"]
            elif "ready" in said:
                ready = self._all[said["ready"]].ready
                if not ready.done():
                    ready.set_result(True)
            else:
                program = self._all.pop(said["ended"])
                if not program.ready.done():
                    program.ready.set_result(False)
                program.ended.set_result(said["status"])

    async def kill_all(self) -> None:
        """Kill whatever runs; returns when it is gone."""
        running = list(self._all.values())
        for program in running:
            program.send_kill()
        for program in running:
            await program.wait()

    async def close(self) -> None:
        """End the nursery, and all programs with it."""
        if self._process is not None:
            await self.kill_all()
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        if self._listening is not None:
            self._listening.cancel()
