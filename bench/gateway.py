"""The REST gateway against the pipeline behind it, in one run: ``python -m bench gateway``.

On the same picture, in rounds, one side after the other: face/detect, and face/identify in a
library of made-up faces (``bench/search/faces.py``) in a database of its own; before each of
them the pipeline over HTTP, asked for just what the gateway asks it for then. The load comes from
h2load, wrk or hey at the concurrency that a rising load has shown to be best for each side, and
then from one client at a time. What the gateway costs is the difference; all processes and the
load share the cores.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import httpx
from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console

from bench.frame import CONFIG, Bench, Say, benchmark, levels, machine_line, runs, seconds
from bench.load import generators
from bench.load.cpu import Meter, service_pids, wait_until_idle
from bench.load.figures import Load, median_load, ratio
from bench.load.generators import Target
from bench.load.pictures import PictureSet, make_sets
from bench.load.session import best_level
from bench.search.faces import FaceModel, default_effective
from client.pipeline.wire import faces_in
from client.terminal.table import FittingTable
from gateway.server import recogniser_of
from library.records import Enrolment, NewFace
from library.store.store import Store
from runtime.launch import started
from runtime.ports import free_ports
from settings.config import load_config
from settings.library import LibraryConfig
from terminal.options import Count

DETECT, IDENTIFY = "face/detect", "face/identify"
# Each operation's pipeline, and what the gateway asks it for. Identifying does without the quality,
# which takes a while: against a pipeline that looks at it, it would seem better than it is.
PIPELINE = {DETECT: "pipeline, for detect", IDENTIFY: "pipeline, for identify"}
WANT = {DETECT: ("angle", "embedding", "liveness", "quality"), IDENTIFY: ("angle", "embedding")}
# What the gateway is held to, of its pipeline's throughput.
TARGETS = {DETECT: 0.88, IDENTIFY: 0.8}
APP, GROUP = "default", "people"
OTHERS_CORES = 0.1  # from here on the machine was not quiet
LEVELS = (4, 8, 16, 32)
_BATCH = 5000  # faces of one enrolment


@dataclass(frozen=True)
class Side:
    """What is sent where."""

    name: str
    url: str
    body: bytes

    @property
    def target(self) -> Target:
        return Target(self.url, "", self.body, b"")

    def check(self) -> None:
        """Ask once. Raises RuntimeError unless the answer has the one face of the picture."""
        headers = {"content-type": "application/json"}
        answer = httpx.post(self.url, content=self.body, headers=headers, timeout=60.0).json()
        if self.name in PIPELINE.values():
            good = not answer["err_no"] and faces_in(answer["value"][0])
        elif self.name == DETECT:
            good = answer["error_code"] == 0 and answer["result"]["face_num"] == 1
        else:
            good = answer["error_code"] == 0 and answer["result"]["user_list"]
        if not good:
            raise RuntimeError(f"{self.name} answers {str(answer)[:300]}")


def sides(pipeline_url: str, gateway_url: str, pictures: PictureSet) -> list[Side]:
    """Each operation and before it its pipeline, all with the set's one picture."""
    (image,) = pictures.pictures
    common = {"image": image, "image_type": "BASE64"}
    # From 0 on everybody counts: the made-up faces are not like the picture's.
    search = {**common, "group_id_list": GROUP, "match_threshold": 0}
    found = []
    for name, body in ((DETECT, common), (IDENTIFY, search)):
        asked = {"want": WANT[name], "max_faces": 1, "embedding_format": "base64"}
        request = replace(pictures, options=json.dumps(asked)).http_body()
        found.append(Side(PIPELINE[name], pipeline_url, request))
        url = f"{gateway_url}/face-api/v3/{name}"
        found.append(Side(name, url, json.dumps(body).encode()))
    return found


def fill(config: LibraryConfig, model: str, dim: int, faces: int) -> None:
    """Enrol made-up faces, one to nine a person."""
    made = FaceModel(dim, default_effective(dim))
    persons = made.persons(faces)
    position = 0
    with Store(config) as store:
        store.create_group(APP, GROUP)
        for vectors in made.faces(persons):
            for start in range(0, len(vectors), _BATCH):
                batch = vectors[start : start + _BATCH]
                store.enrol(
                    APP,
                    [
                        Enrolment(GROUP, f"p{persons[position + n]}", NewFace(vector, model))
                        for n, vector in enumerate(batch)
                    ],
                )
                position += len(batch)


class _Run:
    def __init__(self, bench: Bench) -> None:
        self._bench, self._asked = bench, bench.asked
        self._generator = generators.available(bench.asked.generator)
        self._pids: dict[str, int] = {}
        self._gateway_url = ""

    def run(self) -> dict[str, Any]:
        """Everything; JSON-ready."""
        asked = self._asked
        recogniser = recogniser_of(load_config(asked.config))
        (pictures,) = make_sets([asked.picture])
        with contextlib.ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-faces-")))
            say = stack.enter_context(self._bench.status("enrolling"))
            library = LibraryConfig(folder=folder, database=f"sqlite:///{folder}/faces.db")
            fill(library, recogniser.name, recogniser.dim, asked.faces)
            say("starting")
            port = free_ports()[0]
            self._gateway_url = f"http://127.0.0.1:{port}"
            service = stack.enter_context(started(asked.config, _settings(port, library)))
            self._pids = service_pids(service.pid)
            found = sides(service.url, self._gateway_url, pictures)
            for side in found:
                side.check()
            report = self._measure(found, say)
        report.update(faces=asked.faces, picture=pictures.title, generator=self._generator)
        show(report, self._bench.console)
        return report

    def _measure(self, found: Sequence[Side], say: Say) -> dict[str, Any]:
        asked = self._asked
        refused = self._refused()
        levels = {side.name: self._rise(side, say) for side in found}
        rounds: dict[str, list[Load]] = {side.name: [] for side in found}
        single: dict[str, list[Load]] = {side.name: [] for side in found}
        for number in range(asked.runs):
            for side in found:
                say(f"round {number + 1} of {asked.runs}: {side.name}")
                rounds[side.name].append(self._load(side, levels[side.name]))
        for number in range(asked.runs):
            for side in found:
                say(f"one client, round {number + 1} of {asked.runs}: {side.name}")
                single[side.name].append(self._load(side, 1))
        errors = self._refused() - refused
        if errors:
            raise RuntimeError(f"{errors:.0f} requests to the gateway were answered with an error")
        return summary(rounds, single)

    def _rise(self, side: Side, say: Say) -> int:
        """The concurrency that is best for a side."""
        loads = []
        for level in self._asked.levels:
            say(f"{side.name}, {level} at a time")
            loads.append(self._load(side, level))
        return best_level(loads)

    def _load(self, side: Side, concurrency: int) -> Load:
        wait_until_idle(self._pids)
        meter = Meter(self._pids)
        load = generators.http_load(self._generator, side.target, self._asked.seconds, concurrency)
        load.side, load.cores = side.name, meter.cores()
        if load.errors:
            raise RuntimeError(f"{side.name}: {load.errors} answers without HTTP status 200")
        return load

    def _refused(self) -> float:
        """Answers of the gateway with an error so far: HTTP's status of those is 200."""
        text = httpx.get(f"{self._gateway_url}/metrics", timeout=60.0).text
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "face_gateway_requests_total" and sample.labels["code"] != "0"
        )


def summary(
    rounds: Mapping[str, Sequence[Load]], single: Mapping[str, Sequence[Load]]
) -> dict[str, Any]:
    """Medians of the rounds, ratios to each operation's pipeline, and what was kept."""
    rates = {name: [load.qps for load in loads] for name, loads in rounds.items()}
    times = {name: [load.latency_ms.get("p50") for load in loads] for name, loads in single.items()}
    ratios = {name: ratio(rates[name], rates[PIPELINE[name]]) for name in TARGETS}
    return {
        "rounds": {name: [load.to_dict() for load in loads] for name, loads in rounds.items()},
        "median": {name: median_load(loads).to_dict() for name, loads in rounds.items()},
        "single": {name: median_load(loads).to_dict() for name, loads in single.items()},
        "ratios": ratios,
        "latency_ratios": {name: ratio(times[name], times[PIPELINE[name]]) for name in TARGETS},
        "kept": {
            f"{name}: {found or 0.0:.2f} of its pipeline's throughput, at least {TARGETS[name]}": (
                found is not None and found >= TARGETS[name]
            )
            for name, found in ratios.items()
        },
    }


def show(report: Mapping[str, Any], console: Console) -> None:
    """The report as a table."""
    console.print(f"{report['picture']}, {report['faces']:,} faces enrolled; {machine_line()}")
    table = FittingTable().names("side")
    table.figures("load", "1/s", "ratio", "p50 ms", "p99 ms", "alone", "ratio")
    for name, load in report["median"].items():
        times, alone = load.get("latency_ms", {}), report["single"][name].get("latency_ms", {})
        table.add_row(
            name, str(load["concurrency"]), f"{load['qps']:.1f}",
            _number(report["ratios"].get(name)), _number(times.get("p50"), 1),
            _number(times.get("p99"), 1), _number(alone.get("p50"), 1),
            _number(report["latency_ratios"].get(name)),
        )  # fmt: skip
    console.print(table)
    for name, load in report["median"].items():
        cores = ", ".join(f"{who} {used:.2f}" for who, used in load["cores"].items())
        console.print(f"  cores, {name}: {cores}")
    others = max(load["cores"].get("others", 0.0) for load in report["median"].values())
    if others > OTHERS_CORES:
        console.print(f"Others used up to {others:.2f} cores meanwhile", style="yellow")


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _settings(port: int, library: LibraryConfig) -> Any:
    def change(settings: dict[str, Any]) -> None:
        settings.setdefault("gateway", {}).update(port=port, host="127.0.0.1", access="auto")
        settings["library"] = {"database": library.database, "index": {"snapshot_dir": ""}}

    return change


@benchmark(
    click.option("--faces", type=Count(1), default=100_000, help="Enrolled."),
    click.option("--picture", type=click.Choice(["vga", "hd"]), default="vga"),
    seconds(4.0),
    runs(),
    levels(LEVELS),
    click.option(
        "--generator",
        type=click.Choice(generators.HTTP),
        show_default="the first that is here",
    ),
    CONFIG,
)
def main(bench: Bench) -> None:
    """Both operations keep their share of the pipeline's throughput."""
    report = _Run(bench).run()
    bench.expected = report.pop("kept")
    bench.results = report
