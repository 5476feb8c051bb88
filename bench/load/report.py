"""Tables and the plot of the throughput benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.load.figures import Load
from bench.load.session import SetResult
from client.terminal.table import FittingTable

SEEN = 0.005  # cores; less is not worth a place
_SHOWN = 8  # samples of memory
QUIET = 0.1  # cores that others may use before figures are called into question


def show_set(result: SetResult, console: Console) -> None:
    """Rising concurrency, the rounds' medians, the ratios."""
    pictures, medians = result.pictures, result.medians()
    loads = [*result.rising, *medians.values()]
    # Columns of processor time for what took some.
    names = [n for n in _names(loads) if any(load.cores.get(n, 0.0) >= SEEN for load in loads)]
    table = FittingTable(f"{pictures.title} ({pictures.name})", keys=2).names("side")
    table.figures("at once", "QPS", "faces/s", "p50 ms", "p90", "p99", "errors", *names)
    for load in result.rising:
        table.add_row(load.side, *_row(load, pictures.faces, names))
    if result.rising:
        table.add_section()
    for side, load in medians.items():
        table.add_row(f"[bold]{side}[/]", *_row(load, pictures.faces, names))
    rounds = max((len(loads) for loads in result.rounds.values()), default=0)
    table.caption = f"bold: medians of {rounds}. {', '.join(names)}: cores used"
    console.print(table)
    disturbed = max((load.cores.get("others", 0.0) for load in medians.values()), default=0.0)
    if disturbed > QUIET:
        console.print(
            f"  Others used up to {disturbed:.2f} cores meanwhile: measure again when it is quiet",
            style="yellow",
        )
    for name, value in result.ratios().items():
        console.print(f"  {name} [bold]{_ratio(value)}[/]")


def show_eight(ratios: Mapping[str, float | None], console: Console) -> None:
    """Faces a second, eight a request, against the published layout's one by one."""
    for name, value in ratios.items():
        console.print(f"  {name} [bold]{_ratio(value)}[/]")


def _names(loads: Sequence[Load]) -> list[str]:
    return list(dict.fromkeys(name for load in loads for name in load.cores))


def _row(load: Load, faces: int, names: Sequence[str]) -> list[str]:
    latency = [_number(load.latency_ms.get(name)) for name in ("p50", "p90", "p99")]
    cores = [f"{load.cores.get(name, 0.0):.2f}" for name in names]
    return [
        f"{load.concurrency}x{load.batch}" if load.batch else str(load.concurrency),
        f"{load.qps:.1f}",
        f"{load.qps * faces:.1f}",
        *latency,
        str(load.errors or ""),
        *cores,
    ]


def shares(cores: Mapping[str, float]) -> str:
    """``pipeline 1.62, generator 0.05``; what took next to nothing is left out."""
    return ", ".join(f"{name} {used:.2f}" for name, used in cores.items() if used >= SEEN)


def show_latency(results: Sequence[SetResult], console: Console) -> None:
    """One client on an idle machine."""
    table = FittingTable("one at a time, idle machine", keys=2).names("set", "side")
    table.figures("p50 ms", "p90", "p99", "p50/raw p50")
    for result in results:
        for side, figures in result.latency.items():
            cells = [_number(figures.get(name)) for name in ("p50", "p90", "p99")]
            table.add_row(result.pictures.title, side, *cells, _ratio(figures["ratio"]))
    console.print(table)


def show_arrivals(title: str, figures: Mapping[str, Any], console: Console) -> None:
    """Random arrivals below the capacity."""
    latency = figures["latency_ms"]
    console.print(
        f"[bold]{title}[/]: random arrivals at {figures['share']:.0%} of {figures['capacity']:.1f} "
        f"requests/s: {figures['requests']} requests, {figures['errors']} errors, "
        f"p50 {_number(latency.get('p50'))} ms, p99 {_number(latency.get('p99'))} ms, "
        f"p99/p50 [bold]{_ratio(figures['p99/p50'])}[/] ({shares(figures['cores'])})"
    )


def show_overload(title: str, figures: Mapping[str, Any], console: Console) -> None:
    """Arrivals above the capacity."""
    table = FittingTable(f"{title}: {figures['factor']:g} times the capacity")
    table.names("").words("")
    codes = ", ".join(f"{code} {count}" for code, count in figures["codes"].items())
    table.add_row("requests", f"{figures['requests']} in {figures['seconds']:g} s: {codes}")
    table.add_row(
        "good answers",
        f"{figures['goodput']:.1f}/s, [bold]{_ratio(figures['goodput/capacity'])}[/] of the "
        f"capacity of {figures['capacity']:.1f}/s",
    )
    table.add_row("time of an answer", _latency(figures["answer_ms"]))
    table.add_row("time of a refusal", _latency(figures["refusal_ms"]))
    table.add_row("pipeline's memory", _memory(figures["memory"], figures["memory_growth"]))
    for when, latency in figures["single_ms"].items():
        table.add_row(f"single request {when}", _latency(latency))
    table.add_row("cores used", shares(figures["cores"]))
    console.print(table)
    words = {True: "[green]kept[/]", False: "[red]MISSED[/]", None: "not known"}
    for expected, kept in figures["kept"].items():
        console.print(f"  {expected}: {words[kept]}")


def _memory(samples: Sequence[tuple[float, int]], growth: Mapping[str, Any] | None) -> str:
    """Some of the samples over the time, and how much the last quarter is above the first."""
    if not samples:
        return "not known"
    step = max(len(samples) // _SHOWN, 1)
    course = ", ".join(f"{held / 1e6:.0f}" for _, held in samples[::step])
    text = f"{course} MB, every {samples[0][0] * step:.1f} s"
    if growth is None:
        return text
    more = growth["last"] - growth["first"]
    return f"{text}; last quarter {more:+.1f} MB (flat up to {growth['allowed']:.1f})"


def _latency(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.1f}" for name, value in figures.items()) + " ms"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def plot(results: Sequence[SetResult], path: Path) -> None:
    """QPS over concurrency for each set, the raw limit and the published layouts as lines."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(results), figsize=(4.5 * len(results), 4), squeeze=False, layout="constrained"
    )
    for axis, result in zip(axes[0], results):
        for side in ("HTTP", "gRPC"):
            loads = [load for load in result.rising if load.side == side]
            if loads:
                rates = [load.qps for load in loads]
                axis.plot([load.concurrency for load in loads], rates, marker="o", label=side)
        styles = iter((":", "-.", (0, (1, 4))))
        for side, load in result.medians().items():
            if side not in ("HTTP", "gRPC"):
                style = "--" if side == "raw" else next(styles)
                axis.axhline(load.qps, color="black", linestyle=style, label=side)
        axis.set(title=result.pictures.title, xlabel="requests at a time", xscale="log")
        levels = sorted({load.concurrency for load in result.rising})
        axis.set_xticks(levels, [str(level) for level in levels])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.legend()
    axes[0][0].set_ylabel("requests/s")
    figure.savefig(path)
    pyplot.close(figure)
