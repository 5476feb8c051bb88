"""Two replicas on two cores against one replica on one core: ``python -m bench replicas``.

Both services run at the same time and are loaded in turns. In each round the one replica and what
loads it have one core to themselves, another one from round to round; then the N replicas, each on
a core of its own, and what loads them have N cores. Each replica gets the same number of requests
at a time.

The load generator is part of the comparison only where it has to be: with more cores than replicas
it runs on the others, for both sides. Otherwise it shares the measured cores on both sides, so that
a machine of N cores is held against a machine of one; what it takes is shown. All processes are
pinned; of a physical core with two threads only one is used where there are enough.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import click

from bench.frame import CONFIG, Bench, benchmark, runs, seconds, several
from bench.load.cpu import service_pids
from bench.load.figures import ratio
from bench.load.mixture import Mixed, Mixture, interface_here
from bench.load.pictures import NAMES, PictureSet, make_sets
from bench.load.report import QUIET, shares
from bench.tune.knobs import set_values
from client.terminal.table import FittingTable
from runtime.affinity import on_cores, pin, whole_cores
from runtime.launch import started
from terminal.options import Count, Number

LIMIT = 1.9
"""What two replicas should do of one's requests a second."""
WARM_UP_S = 1.0
EFFICIENCY = LIMIT / 2


@dataclass(frozen=True)
class Cores:
    """Which cores do what. replicas: one each. generator: none where it shares them."""

    replicas: tuple[int, ...]
    generator: tuple[int, ...]

    def in_words(self) -> str:
        """Where the load generator runs."""
        if self.generator:
            return f"The load generator runs on {_listed(self.generator)}, for both sides."
        return (
            "There is no core left for the load generator: on both sides it shares the cores "
            "that the replicas have."
        )


def usable_cores(replicas: int) -> Cores | None:
    """A core for each replica, the others for the load; None where there are too few."""
    all_of_them = sorted(os.sched_getaffinity(0))
    if len(all_of_them) < replicas:
        return None
    whole = whole_cores()
    chosen = (whole if len(whole) >= replicas else all_of_them)[:replicas]
    # The other thread of a measured core is no place for the load either.
    rest = set(whole if len(whole) > replicas else all_of_them) - set(chosen)
    return Cores(tuple(chosen), tuple(sorted(rest)) if len(whole) > replicas else ())


class _Side:
    """A number of replicas, pinned, and the load on them."""

    def __init__(self, service_pid: int, mixture: Mixture, cores: Cores) -> None:
        self._pids = service_pids(service_pid)
        self._pipelines = [p for name, p in self._pids.items() if name.startswith("pipeline")]
        self._supervisor = self._pids["supervisor"]
        self._mixture = mixture
        self._cores = cores

    def run(self, seconds: float, shift: int = 0) -> Mixed:
        """One run. shift: where in the list of cores the first replica's is."""
        of_all = self._cores.replicas
        mine = [of_all[(shift + n) % len(of_all)] for n in range(len(self._pipelines))]
        for pid, core in zip(self._pipelines, mine):
            pin(pid, [core])
        pin(self._supervisor, mine)
        with on_cores(self._cores.generator or mine):
            return self._mixture.run(seconds)


@contextlib.contextmanager
def _side(asked: Any, pictures: PictureSet, replicas: int, cores: Cores) -> Iterator[_Side]:
    settings = partial(set_values, values={("replicas",): replicas, ("cores",): 1})
    mine: Collection[int] = cores.replicas[:replicas]
    with started(asked.config, settings, mine) as service:
        interface = "gRPC" if asked.grpc else interface_here()
        load = Mixture(service, [pictures], asked.concurrency * replicas, interface)
        side = _Side(service.pid, load, cores)
        side.run(min(WARM_UP_S, asked.seconds))
        yield side


def _measure(bench: Bench, cores: Cores) -> list[dict[str, Any]]:
    asked, count = bench.asked, bench.asked.replicas
    listed = _listed(cores.replicas)
    bench.console.print(f"{count} replicas on {listed}, one each. {cores.in_words()}")
    found = []
    for pictures in make_sets(asked.sets):
        with contextlib.ExitStack() as stack:
            say = stack.enter_context(bench.status(f"{pictures.title}: starting"))
            one, many = (stack.enter_context(_side(asked, pictures, n, cores)) for n in (1, count))
            rounds: list[tuple[Mixed, Mixed]] = []
            for number in range(asked.runs):
                say(f"{pictures.title}: round {number + 1} of {asked.runs}")
                rounds.append(_round(one, many, asked.seconds, number))
        found.append(_figures(pictures, rounds))
        _show(bench, pictures, rounds, found[-1]["ratio"])
    return found


def _round(one: _Side, many: _Side, seconds: float, number: int) -> tuple[Mixed, Mixed]:
    """The two take turns in going first, and the one replica goes from core to core."""
    if number % 2:
        second = many.run(seconds)
        return one.run(seconds, number), second
    first = one.run(seconds, number)
    return first, many.run(seconds)


def _figures(pictures: PictureSet, rounds: Sequence[tuple[Mixed, Mixed]]) -> dict[str, Any]:
    ones, manies = zip(*rounds)
    return {
        "set": pictures.name,
        "ratio": ratio([run.qps for run in manies], [run.qps for run in ones]) or 0.0,
        "one": [run.to_dict() for run in ones],
        "all": [run.to_dict() for run in manies],
    }


def _show(
    bench: Bench, pictures: PictureSet, rounds: Sequence[tuple[Mixed, Mixed]], found: float
) -> None:
    asked, console = bench.asked, bench.console
    table = FittingTable(f"{pictures.title} ({pictures.name})")
    table.figures("replicas", "QPS", "p50 ms", "p99", "errors").words("cores used")
    for count, own in zip((1, asked.replicas), zip(*rounds)):
        run = sorted(own, key=lambda one: one.qps)[len(own) // 2]
        errors = sum(one.errors for one in own)
        latency = [f"{run.latency(name):.0f}" for name in ("p50", "p99")]
        used = shares(run.cores)
        table.add_row(str(count), f"{run.qps:.1f}", *latency, str(errors or ""), used)
    table.caption = f"the run in the middle of {len(rounds)}"
    console.print(table)
    each = ", ".join(f"{many.qps / one.qps:.2f}" for one, many in rounds if one.qps)
    console.print(
        f"  {asked.replicas} replicas / 1: [bold]{found:.2f}[/] "
        f"(rounds: {each}; wanted: {_limit(asked):.2f})"
    )
    if max(run.cores.get("others", 0.0) for pair in rounds for run in pair) > QUIET:
        console.print("  Others used the machine meanwhile: measure again", style="yellow")


def _limit(asked: Any) -> float:
    given: float | None = asked.limit
    return EFFICIENCY * asked.replicas if given is None else given


def _listed(cores: Sequence[int]) -> str:
    return ("core " if len(cores) == 1 else "cores ") + ", ".join(map(str, cores))


@benchmark(
    CONFIG,
    click.option("--replicas", type=Count(2), default=2),
    several("--sets", type=click.Choice(NAMES), default=("vga",), help="Of pictures."),
    click.option("--grpc", is_flag=True, help="Over gRPC instead of HTTP."),
    click.option("--concurrency", type=Count(1), default=16, help="Of each replica."),
    seconds(4.0),
    runs(),
    click.option("--limit", type=Number(0), help="Ratio to be reached.  [default: 0.95 a replica]"),
)
def main(bench: Bench) -> None:
    """The ratio is to be reached, where it can be measured."""
    asked, cores = bench.asked, usable_cores(bench.asked.replicas)
    if cores is None:
        here = len(os.sched_getaffinity(0))
        bench.console.print(f"skipped: {asked.replicas} replicas need as many cores, here: {here}")
        return
    found = _measure(bench, cores)
    bench.results = {"cores": cores.replicas, "generator_cores": cores.generator, "sets": found}
    for one in found:
        words = f"{one['set']}: {asked.replicas} replicas, {_limit(asked):.2f} times one"
        bench.expected[words] = one["ratio"] >= _limit(asked)
