"""How far tenants of one machine leave each other alone: ``python -m bench tenants``.

Three tenants are started by `python -m deploy tenants up`, pinned and limited. The p99 of one is
measured while the others rest, and while one of them has as much work as it can do and the other is
killed again and again; the two in turns. The measured tenant has a core of its own, and the others
share the rest with what loads them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click
import numpy as np

from bench.frame import CONFIG, Bench, benchmark, machine_line, runs, seconds
from bench.tenants.asking import Asking
from bench.tenants.machine import (
    KILLED,
    MEASURED,
    PRESSED,
    Cores,
    Killer,
    Tenants,
    cores_here,
    listed,
)
from client.terminal.table import FittingTable
from runtime.affinity import on_cores
from runtime.tethered_child import end_child, start_child
from terminal.options import Count, Number

LIMIT = 1.3
"""How many times its own p99 alone a tenant's may be beside the others."""
WARM_UP_S = 3.0


def _measure(bench: Bench, folder: Path, cores: Cores) -> list[dict[str, Any]]:
    asked = bench.asked
    tenants = Tenants(folder, asked.config, cores)
    rounds: list[dict[str, Any]] = []
    with bench.status("starting three tenants", redraw=False) as say, tenants.running():
        key = tenants.key_file(MEASURED).read_text(encoding="ascii").strip()
        asking = Asking(tenants.url(MEASURED), key)
        with on_cores([cores.client]):
            asking.for_seconds(WARM_UP_S)
            for number in range(asked.runs):
                say(f"round {number + 1} of {asked.runs}: alone")
                alone = asking.for_seconds(asked.seconds)
                say(f"round {number + 1} of {asked.runs}: beside the others")
                beside, kills = _beside(asked, tenants, asking, cores)
                rounds.append({"alone": _figures(alone), "beside": _figures(beside),
                               "kills": kills})  # fmt: skip
    return rounds


def _beside(asked: Any, tenants: Tenants, asking: Asking, cores: Cores) -> tuple[list[float], int]:
    """Seconds of each answer while one tenant is pressed and one killed; how often it was."""
    order = [
        "bench.tenants.asking", tenants.url(PRESSED), str(tenants.key_file(PRESSED)),
        str(asked.concurrency),
    ]  # fmt: skip
    with on_cores(cores.others):
        pressing = start_child(order)
        killer = Killer(tenants, KILLED, asked.kill_every)
    try:
        asking.for_seconds(WARM_UP_S)
        return asking.for_seconds(asked.seconds), killer.kills
    finally:
        killer.stop()
        end_child(pressing)


def _figures(times: Sequence[float]) -> dict[str, float]:
    """Answers, and percentiles of their times in ms."""
    found = {f"p{q}": round(float(np.percentile(times, q)) * 1000, 1) for q in (50, 90, 99)}
    return {"answers": len(times), **found}


def _show(bench: Bench, rounds: Sequence[dict[str, Any]], ratio: float) -> None:
    table = FittingTable("The measured tenant's comparisons, one at a time")
    table.figures("round").names("").figures("answers", "p50 ms", "p90", "p99", "kills")
    for number, one in enumerate(rounds, 1):
        for side in ("alone", "beside"):
            figures = [f"{one[side][name]:.0f}" for name in ("answers", "p50", "p90", "p99")]
            kills = str(one["kills"]) if side == "beside" else ""
            table.add_row(str(number), side, *figures, kills)
    bench.console.print(table)
    bench.console.print(
        f"  p99 beside / alone: [bold]{ratio:.2f}[/] (medians of {len(rounds)}; "
        f"wanted: at most {bench.asked.limit:.2f})"
    )


@benchmark(
    CONFIG,
    seconds(20.0),
    runs(),
    click.option("--concurrency", type=Count(1), default=8, help="Of the load on one tenant."),
    click.option("--kill-every", type=Number(0.1), default=5.0, help="Seconds."),
    click.option("--limit", type=Number(0), default=LIMIT, help="Ratio not to be passed."),
)
def main(bench: Bench) -> None:
    """The ratio is not to be passed, where it can be measured."""
    cores = cores_here()
    if cores is None:
        bench.console.print("skipped: three tenants need two cores")
        return
    bench.console.print(machine_line())
    bench.console.print(
        f"The measured tenant has {listed([cores.measured])}, the others {listed(cores.others)}, "
        f"the client {listed([cores.client])}."
    )
    with tempfile.TemporaryDirectory(prefix="bench-tenants-") as folder:
        rounds = _measure(bench, Path(folder), cores)
    p99 = {side: median(one[side]["p99"] for one in rounds) for side in ("alone", "beside")}
    ratio = p99["beside"] / p99["alone"]
    bench.results = {"cores": vars(cores), "rounds": rounds, "p99_ms": p99, "ratio": ratio}
    _show(bench, rounds, ratio)
    words = f"one pressed and one killed leave the third's p99 within {bench.asked.limit:g} times"
    bench.expected[words] = ratio <= bench.asked.limit
