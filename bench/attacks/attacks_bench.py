"""Hostile requests while other clients recognise pictures: ``python -m bench attacks``.

Eight clients have a picture recognised over HTTP, gRPC and REST, first alone, then beside one
attack after the other: pictures that take long to decode, bodies that take long or much memory to
parse, gRPC calls and frames that hold places or memory. Each is sent again and again for a while.
The service holds where each answer comes at most two seconds later than the 99th percentile
without an attack, no process dies, and memory is back within a tenth in half a minute. Exit status
0 where all of it was kept.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from bench.attacks.clients import Target
from bench.attacks.senders import ATTACKS
from bench.attacks.watch import Clients, Memory, Phase, held_by, processes_of
from bench.frame import CONFIG, Bench, benchmark, seconds
from client.terminal.table import FittingTable
from runtime.launch import Service, started
from runtime.ports import free_ports
from runtime.tethered_child import PIPE, start_child
from terminal.options import Count, Number

ALLOWED_S = 2.0  # that an answer may come later than the quiet p99
MEMORY_SHARE, MEMORY_S = 1.1, 30.0  # of what was held before, and in how long
_SEND_S = 120.0  # an attack that has not ended by then is ended
_WARM_UP_S = 5.0
MB = 1e6


class _Run:
    def __init__(self, service: Service, target: Target, clients: Clients) -> None:
        self._service, self._target, self._clients = service, target, clients

    def phase(self, title: str, attack: str | None, seconds: float) -> Phase:
        """What is seen while an attack is sent again and again for so many seconds."""
        pid, found = self._service.pid, Phase(title)
        processes, before = processes_of(pid), held_by(pid)
        start = time.monotonic()
        with Memory(pid) as memory:
            while time.monotonic() < start + seconds:
                if attack is None:
                    time.sleep(0.1)
                else:
                    send(attack, self._target)
                    found.sent += 1
            found.note(self._clients.between(start, time.monotonic()))
        found.back_s = _until_back(pid, before) if attack else 0.0
        found.held = (before, memory.peak, held_by(pid))
        found.deaths = len(processes - processes_of(pid))
        return found


def send(attack: str, target: Target) -> None:
    """Send an attack once, in a process of its own. Raises RuntimeError where that fails."""
    with start_child(["bench.attacks.senders", attack], stdin=PIPE, stderr=PIPE) as process:
        try:
            _, said = process.communicate(json.dumps(asdict(target)) + "\n", _SEND_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return
        if process.returncode:
            raise RuntimeError(f"{attack} cannot be sent: {said.strip().splitlines()[-1:]}")


def _until_back(pid: int, before: int) -> float | None:
    """Seconds until the memory is back within a tenth; None where that takes too long."""
    start = time.monotonic()
    while (took := time.monotonic() - start) < MEMORY_S:
        if held_by(pid) <= before * MEMORY_SHARE:
            return took
        time.sleep(0.5)
    return None


@contextlib.contextmanager
def _started(config: Path) -> Iterator[tuple[Service, Target]]:
    port = free_ports()[0]

    def change(settings: dict[str, Any]) -> None:
        settings.setdefault("gateway", {}).update(port=port, host="127.0.0.1", access="auto")

    with started(config, change) as service:
        yield service, Target(service.url, service.address, f"http://127.0.0.1:{port}")


def show(quiet: Phase, attacks: Sequence[Phase], console: Console) -> bool:
    """The table and what did not hold; whether the service held."""
    table = FittingTable().words("attack")
    table.figures("sent", "answers", "p99 ms", "latest", "MB", "peak", "after")
    for phase in (quiet, *attacks):
        table.add_row(
            phase.name,
            str(phase.sent or ""),
            str(phase.answers),
            f"{max(phase.p99.values(), default=0.0):.0f}",
            f"{max(phase.latest.values(), default=0.0):.0f}",
            *(f"{size / MB:.0f}" for size in phase.held),
        )
    console.print(table)
    complaints = [
        (phase.name, one) for phase in attacks for one in phase.complaints(quiet, ALLOWED_S)
    ]
    complaints += [(quiet.name, one) for one in quiet.problems]
    for name, complaint in complaints:
        console.print(f"  {name}: {complaint}", style="red", markup=False)
    return not complaints


@benchmark(
    click.option("--attack", multiple=True, type=click.Choice(list(ATTACKS)), metavar="NAME",
                 help=f"Only this one, may be repeated: {', '.join(ATTACKS)}."),
    seconds(10.0, "Of an attack."),
    click.option("--quiet", type=Number(0), default=20.0, help="Seconds without one."),
    click.option("--clients", type=Count(1), default=8, help="At a time."),
    CONFIG,
)  # fmt: skip
def main(bench: Bench) -> None:
    """The service has to hold against every attack."""
    asked, phases = bench.asked, []
    with contextlib.ExitStack() as stack:
        say = stack.enter_context(bench.status("starting"))
        service, target = stack.enter_context(_started(asked.config))
        run = _Run(service, target, stack.enter_context(Clients(target, asked.clients)))
        time.sleep(_WARM_UP_S)
        say("quiet")
        phases.append(run.phase("quiet", None, asked.quiet))
        for name in asked.attack or ATTACKS:
            say(name)
            phases.append(run.phase(name, name, asked.seconds))
    quiet, *attacks = phases
    bench.results = {"phases": [phase.to_dict() for phase in phases]}
    bench.expected[
        f"no answer more than {ALLOWED_S:g} s later than the quiet p99, no process died, "
        f"memory back within {MEMORY_S:g} s"
    ] = show(quiet, attacks, bench.console)
