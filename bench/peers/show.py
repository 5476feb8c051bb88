"""Figures and tables of the comparison."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from bench.load.figures import Load, median_load
from bench.load.report import QUIET
from bench.memory import MB
from bench.peers.sides import SERVICE
from client.terminal.table import FittingTable


@dataclass(frozen=True)
class Ratio:
    """The service's figure over a peer's: the median over the rounds, the least, the most."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, above: Iterable[float], below: Iterable[float]) -> Ratio | None:
        """Of the rounds' figures in order; None where none has both."""
        found = [one / other for one, other in zip(above, below) if one and other]
        return cls(statistics.median(found), min(found), max(found)) if found else None

    def __str__(self) -> str:
        return f"{self.median:.2f} ({self.least:.2f} to {self.most:.2f})"


@dataclass
class SetResult:
    """What a set came to. rounds: concurrency to side to its runs, one a round.

    agreement: of each peer with the same recogniser, the least cosine to the service's embeddings.
    """

    name: str
    title: str
    faces: int
    agreement: dict[str, float] = field(default_factory=dict)
    rounds: dict[int, dict[str, list[Load]]] = field(default_factory=dict)

    def add(self, level: int, load: Load) -> None:
        """A run of a round."""
        self.rounds.setdefault(level, {}).setdefault(load.side, []).append(load)

    def errors(self) -> int:
        """Requests, of all sides and rounds, that were not answered; of a run without any, one."""
        runs = (run for sides in self.rounds.values() for runs in sides.values() for run in runs)
        return sum(run.errors or (not run.qps) for run in runs)

    def ratios(self, level: int, peer: str) -> dict[str, Ratio | None]:
        """The service's requests a second, p50 and processor time a request over the peer's."""
        ours, theirs = self.rounds[level][SERVICE], self.rounds[level][peer]
        return {
            name: Ratio.of(map(figure, ours), map(figure, theirs))
            for name, figure in _FIGURES.items()
        }

    def peers(self) -> list[str]:
        """Names of those that were measured."""
        return list(
            dict.fromkeys(s for sides in self.rounds.values() for s in sides if s != SERVICE)
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        levels = [
            {
                "at_once": level,
                "median": {name: median_load(runs).to_dict() for name, runs in sides.items()},
                "rounds": {name: [run.to_dict() for run in runs] for name, runs in sides.items()},
                "ratios": {
                    peer: {
                        figure: vars(ratio) if ratio else None
                        for figure, ratio in self.ratios(level, peer).items()
                    }
                    for peer in self.peers()
                },
            }
            for level, sides in self.rounds.items()
        ]
        return {
            "set": self.name,
            "title": self.title,
            "faces": self.faces,
            "agreement": self.agreement,
            "levels": levels,
        }


def core_ms(load: Load) -> float:
    """Milliseconds of a core that a request took of the side itself, whoever else was at work.

    0 where nothing was answered.
    """
    own = sum(used for name, used in load.cores.items() if name not in ("generator", "others"))
    return 1e3 * own / load.qps if load.qps else 0.0


_FIGURES: dict[str, Callable[[Load], float]] = {
    "qps": lambda load: load.qps,
    "p50": lambda load: load.latency_ms.get("p50", 0.0),
    "core_ms": core_ms,
}


def show_set(result: SetResult, console: Console) -> None:
    """Medians of all sides, then the ratios."""
    table = FittingTable(f"{result.title} ({result.name})", keys=2).names("side")
    table.figures("at once", "requests/s", "p50 ms", "p99", "core ms", "errors")
    rounds, disturbed = 0, 0.0
    for level, sides in result.rounds.items():
        for name, runs in sides.items():
            load, rounds = median_load(runs), len(runs)
            disturbed = max(disturbed, load.cores.get("others", 0.0))
            table.add_row(name, str(level), *_row(load))
        table.add_section()
    table.caption = f"medians of {rounds} rounds; core ms: of a core, a request"
    console.print(table)
    if disturbed > QUIET:
        console.print(
            f"  Others used up to {disturbed:.2f} cores meanwhile: measure again when it is quiet",
            style="yellow",
        )
    for level in result.rounds:
        for peer in result.peers():
            said = result.ratios(level, peer)
            # Beyond one at a time, who answers sooner is told by requests/s: p50 depends on how
            # the connections fell to the workers.
            what, figure = ("p50", "p50") if level == 1 else ("requests/s", "qps")
            console.print(
                f"  {SERVICE} / {peer}, {level} at once: {what} [bold]{said[figure] or '-'}[/], "
                f"core ms {said['core_ms'] or '-'}",
                highlight=False,
            )
    for peer, cosine in result.agreement.items():
        console.print(f"  embeddings of {peer}: cosine to the service's {cosine:.3f} or more")


def _row(load: Load) -> list[str]:
    latency = [f"{load.latency_ms.get(name, float('nan')):.1f}" for name in ("p50", "p99")]
    return [f"{load.qps:.1f}", *latency, f"{core_ms(load):.1f}", str(load.errors or "")]


def show_memory(held: Mapping[str, Mapping[str, int]], console: Console) -> None:
    """What each side's processes hold after all of the load."""
    table = FittingTable("memory after the load").names("side")
    table.figures("processes", "RSS MB", "PSS MB")
    for name, figures in held.items():
        sizes = (f"{figures[kind] / MB:.0f}" for kind in ("rss", "pss"))
        table.add_row(name, str(figures["processes"]), *sizes)
    console.print(table)
