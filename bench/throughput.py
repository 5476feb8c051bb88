"""Throughput and latency against the raw limit and the published layout: ``bench throughput``.

Measured on each picture set, in rounds, one side after the other, never two at a time:

- raw: the stages' work on threads of one process, without a service, at its best batch size;

- HTTP and gRPC: the service of ``config.yml``, loaded by h2load, wrk or hey, at the concurrency
  that a rising load has shown to be best;

- published (aligned faces only): a stock Paddle Serving service with one op in process mode.
  "published" is as the InsightFace project's example has it (8 op processes, no oneDNN), and
  "published, tuned" has an op process a core and this project's settings of the engine. With
  eight faces a request both get them as one batch, which the example cannot take.

The service stays started, idle, while another side runs; the table shows what it uses then. The
load generator runs on the same cores; what it uses is listed. Ratios are medians of the rounds'
ratios. ``--latency``, ``--arrivals`` and ``--overload`` measure other things instead.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Sequence
from typing import Any

import click

from bench import frame
from bench.frame import SERVICE, Bench, Say, benchmark, levels, runs, seconds, several
from bench.load import generators, report
from bench.load.arrivals import Side, overload, random_arrivals
from bench.load.cpu import service_pids
from bench.load.figures import ratio
from bench.load.pictures import NAMES, PictureSet, make_sets
from bench.load.published import LAYOUTS, Published
from bench.load.published import started as published_started
from bench.load.raw import Raw
from bench.load.session import LEVELS, Plan, Session, SetResult, target_of
from runtime.launch import Service
from runtime.ports import free_ports
from settings.config import load_config
from terminal.options import Number, at_most_one


class _Run:
    def __init__(self, bench: Bench) -> None:
        self._bench, self._asked, self._console = bench, bench.asked, bench.console
        self._sets = make_sets(bench.asked.sets)
        self._plan = self._make_plan()
        self._document: dict[str, Any] = {}

    def _make_plan(self) -> Plan:
        asked = self._asked
        http, grpc = not asked.grpc_only, not asked.http_only
        generator = rpc_generator = ""
        if http:
            try:
                generator = generators.available(asked.generator)
            except RuntimeError as error:
                self._bench.notes.print(f"HTTP is not measured: {error}", style="yellow")
                http = False
        if grpc:
            rpc_generator = "h2load" if shutil.which("h2load") else "grpcio"
            if rpc_generator == "grpcio":
                self._bench.notes.print(
                    "gRPC: a thin client of ours is used; better: apt install nghttp2-client",
                    style="yellow",
                )
        return Plan(
            seconds=asked.seconds,
            runs=asked.runs,
            threads=os.cpu_count() or 1,
            levels=asked.levels,
            http=http,
            grpc=grpc,
            generator=generator,
            rpc_generator=rpc_generator,
        )

    def run(self) -> dict[str, Any]:
        """Everything that was asked for; JSON-ready."""
        asked, document = self._asked, self._document
        document["generators"] = {"HTTP": self._plan.generator, "gRPC": self._plan.rpc_generator}
        with contextlib.ExitStack() as stack:
            raw = stack.enter_context(Raw(asked.config))
            service = stack.enter_context(self._bench.service())
            pids = service_pids(service.pid)
            say = stack.enter_context(self._bench.status("starting"))
            session = Session(self._plan, raw, service, pids, say)
            if asked.latency:
                document["sets"] = self._latency(session)
            elif asked.arrivals or asked.overload:
                document.update(self._open_loop(session, service, pids, say))
            else:
                document["sets"] = self._throughput(session, stack)
        return document

    def _throughput(self, session: Session, stack: contextlib.ExitStack) -> list[dict[str, Any]]:
        results = []
        running: dict[str, Published] = {}
        for pictures in self._sets:
            if pictures.aligned and not running and self._plan.generator:
                running = self._start_published(stack)
            results.append(session.measure(pictures, running if pictures.aligned else {}))
            report.show_set(results[-1], self._console)
        self._document["eight a request/published one by one"] = eight = eight_against_one(results)
        report.show_eight(eight, self._console)
        if self._asked.plot:
            report.plot(results, self._asked.plot)
        return [result.to_dict() for result in results]

    def _start_published(self, stack: contextlib.ExitStack) -> dict[str, Published]:
        config = load_config(self._asked.config)
        model = config.chosen_models("ArcFace")[0]
        return {
            LAYOUTS[name].title: stack.enter_context(
                published_started(model, free_ports(), LAYOUTS[name])
            )
            for name in self._asked.published
            if name in LAYOUTS
        }

    def _latency(self, session: Session) -> list[dict[str, Any]]:
        results = [SetResult(pictures) for pictures in self._sets]
        for result in results:
            session.latency(result)
        report.show_latency(results, self._console)
        return [result.to_dict() for result in results]

    def _open_loop(
        self,
        session: Session,
        service: Service,
        pids: dict[str, int],
        say: Say,
    ) -> dict[str, Any]:
        found = {}
        for pictures in self._sets:
            capacity = session.capacity(pictures)
            target = target_of(service, pictures)
            side = Side(service.address, target.message, pids, target.answer_bytes)
            say(f"{pictures.title}: open loop")
            found[pictures.name] = self._one_open_loop(pictures, side, capacity)
        return {"overload" if self._asked.overload else "arrivals": found}

    def _one_open_loop(self, pictures: PictureSet, side: Side, capacity: float) -> dict[str, Any]:
        asked = self._asked
        if asked.overload:
            figures = overload(side, capacity, asked.overload, asked.duration or 60.0)
            report.show_overload(pictures.title, figures, self._console)
        else:
            figures = random_arrivals(side, capacity, asked.arrivals, asked.duration or 30.0)
            report.show_arrivals(pictures.title, figures, self._console)
        return figures


def eight_against_one(results: Sequence[SetResult]) -> dict[str, float | None]:
    """Faces a second with eight a request against a published layout's with one a request.

    The example takes one face a request, so this is what changing over to eight comes to. Ratios
    of medians: the two sets are not measured in the same rounds. Empty without both sets.
    """
    by_name = {result.pictures.name: result for result in results}
    if not {"aligned", "aligned8"} <= set(by_name):
        return {}
    one, eight = by_name["aligned"].medians(), by_name["aligned8"].medians()
    return {
        f"{side}, eight a request/{name}, one by one": ratio([8 * eight[side].qps], [one[name].qps])
        for side in ("HTTP", "gRPC")
        for name in one
        if side in eight and name.startswith("published")
    }


@benchmark(
    several("--sets", type=click.Choice(NAMES), default=NAMES, help="Of pictures."),
    seconds(4.0),
    runs(),
    levels(LEVELS),
    click.option("--generator", type=click.Choice(generators.HTTP),
                 show_default="the first that is here", help="For HTTP."),
    click.option("--http-only", is_flag=True, help="Leave gRPC out."),
    click.option("--grpc-only", is_flag=True, help="Leave HTTP out."),
    several("--published", type=click.Choice([*LAYOUTS, "none"]), default=tuple(LAYOUTS),
            help="Published layouts for aligned faces."),
    click.option("--latency", is_flag=True, help="Instead: one client, idle machine."),
    click.option("--arrivals", type=Number(0, min_open=True), metavar="SHARE",
                 help="Instead: Poisson, e.g. 0.7."),
    click.option("--overload", type=Number(0, min_open=True), metavar="FACTOR",
                 help="Instead: more than it can do, e.g. 4."),
    click.option("--duration", type=Number(0, min_open=True),
                 help="Seconds of --arrivals (30) or --overload (60)."),
    *SERVICE,
    frame.plot("Draw the results; .png, .svg or .pdf."),
)  # fmt: skip
def main(bench: Bench) -> None:
    """Measure what was asked for; nothing is held to a limit."""
    at_most_one("http_only", "grpc_only")
    at_most_one("latency", "arrivals", "overload")
    bench.results = _Run(bench).run()
