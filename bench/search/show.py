"""Tables of the search benchmark, and what the library is held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from bench.search.growth import Point
from bench.search.measure import BATCH
from client.terminal.table import FittingTable

FLAT, FP16, EXACT, APPROXIMATE = "faiss flat", "faiss flat, fp16", "exact", "approximate"
# A million faces of 128 components, on two cores.
REFERENCE_FACES, REFERENCE_DIM = 1_000_000, 128


def expectations(report: Mapping[str, Any]) -> dict[str, bool]:
    """What the library is held to, and whether it was kept.

    Times in ms are for up to a million faces of up to 128 components; the ratios are for all.
    """
    medians, ratios, memory = report["medians"], report["ratios"], report["memory"]
    kept = {
        f"exact: {ratios['exact/flat']:.2f} of faiss flat's time, at most 1.3": (
            ratios["exact/flat"] <= 1.3
        ),
        f"approximate: recall@1 {report['recall'][APPROXIMATE]:.4f}, at least 0.99": (
            report["recall"][APPROXIMATE] >= 0.99
        ),
        f"exact: batches of {BATCH} {ratios['exact batch']:.1f} times as fast, at least 4": (
            ratios["exact batch"] >= 4
        ),
        f"ready from the snapshot in {report['snapshot'][EXACT]['ready_s']:.2f} s and "
        f"{report['snapshot'][APPROXIMATE]['ready_s']:.2f} s, at most 10": all(
            side["ready_s"] <= 10 for side in report["snapshot"].values()
        ),
    }
    for name in (EXACT, APPROXIMATE):
        share = memory[name]["of_vector"]
        kept[f"{name}: memory {share:.2f} times the stored vectors, at most 1.5"] = share <= 1.5
        ratio = report["writer"][name]["paced"]["ratio"]["p50"]
        kept[f"{name}: {ratio:.2f} times the time beside a writer, at most 2"] = ratio <= 2
    if report["faces"] <= REFERENCE_FACES and report["dim"] <= REFERENCE_DIM:
        for name, limit in ((EXACT, 20.0), (APPROXIMATE, 2.0)):
            taken = medians[name]["single_ms"]
            kept[f"{name}: {taken:.2f} ms, less than {limit:g}"] = taken < limit
    return kept


def show(report: Mapping[str, Any], console: Console) -> None:
    """Everything but the growth."""
    _show_times(report, console)
    _show_sides(report, console)
    if report["others_cores"] > 0.1:
        console.print(
            f"Others used {report['others_cores']:.2f} cores meanwhile: measure again when it is "
            "quiet",
            style="yellow",
        )


def _show_times(report: Mapping[str, Any], console: Console) -> None:
    table = FittingTable(f"{report['faces']:,} faces of {report['dim']} components, top 5")
    table.names("side").figures("p50 ms", "p99 ms", "of flat", "1/s")
    table.figures(f"{BATCH}: ms", "of flat", "1/s", "gain")
    flat = report["medians"][FLAT]
    for name, own in report["medians"].items():
        table.add_row(
            name,
            f"{own['single_ms']:.2f}",
            f"{own['single_p99_ms']:.2f}",
            f"{own['single_ms'] / flat['single_ms']:.2f}",
            f"{own['single_per_s']:.0f}",
            f"{own['batch_ms']:.1f}",
            f"{own['batch_ms'] / flat['batch_ms']:.2f}",
            f"{own['batch_per_s']:.0f}",
            f"{own['batch_per_s'] / own['single_per_s']:.1f}",
        )
    table.caption = (
        f"medians of {report['runs']} rounds; faiss finds faces, the library users; gain: queries "
        "a second in batches against one at a time"
    )
    console.print(table)


def _show_sides(report: Mapping[str, Any], console: Console) -> None:
    table = FittingTable().names("").figures(EXACT, APPROXIMATE)

    def row(title: str, cells: Sequence[str]) -> None:
        table.add_row(title, *cells)

    sides = (EXACT, APPROXIMATE)
    row("recall@1", [f"{report['recall'][s]:.4f}" for s in sides])
    memory = [report["memory"][s] for s in sides]
    row("bytes a face, counted", [f"{m['counted']:.1f}" for m in memory])
    row("bytes a face, resident", [f"{m['resident']:.1f}" for m in memory])
    row("of the stored vector's", [f"{m['of_vector']:.2f}" for m in memory])
    row("faces/s added", [f"{report['build'][s]:,.0f}" for s in sides])
    saved = [report["snapshot"][s] for s in sides]
    row("snapshot written, s", [f"{s['save_s']:.2f}" for s in saved])
    row("first answer from it, s", [f"{s['ready_s']:.2f}" for s in saved])
    for share in ("1%", "50%"):
        row(
            f"in groups of {share} of all, ms", [f"{report['groups'][s][share]:.2f}" for s in sides]
        )
    for kind, title in (("paced", "beside a writer"), ("unpaced", "beside an unbridled one")):
        found = [report["writer"][s][kind] for s in sides]
        row(f"{title}, faces/s", [f"{f['faces_per_s']:,.0f}" for f in found])
        row("  p50 ms (ratio)", [_beside(f, "p50") for f in found])
        row("  p99 ms (ratio)", [_beside(f, "p99") for f in found])
    console.print(table)
    console.print(
        f"Faces: {report['model']}. The nearest of all faces is of the person that the probe was "
        f"made from in {report['recall']['target']:.1%} of the searches."
    )


def _beside(found: Mapping[str, Any], name: str) -> str:
    return f"{found['beside_ms'][name]:.2f} ({found['ratio'][name]:.2f})"


def show_growth(points: Sequence[Point], dim: int, console: Console) -> None:
    """A row for each size."""
    table = FittingTable(f"growth, {dim} components").figures("faces")
    names = list(points[0].ms)
    for name in names:
        table.figures(*(f"{name}, {unit}" for unit in ("ms", f"{BATCH}: ms", "MB")))
    for point in points:
        cells = [
            f"{figures[name]:.2f}"
            for name in names
            for figures in (point.ms, point.batch_ms, point.mb)
        ]
        mark = "" if point.measured else "*"
        table.add_row(f"{point.faces:,}{mark}", *cells)
    if not all(point.measured for point in points):
        table.caption = "* extrapolated: does not fit into this machine's memory"
    console.print(table)
