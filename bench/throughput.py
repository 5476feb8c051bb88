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

import argparse
import contextlib
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.load import generators, report
from bench.load.arrivals import Side, overload, random_arrivals
from bench.load.cpu import machine, service_pids
from bench.load.figures import ratio
from bench.load.outputs import output_file, plot_file
from bench.load.pictures import NAMES, PictureSet, make_sets
from bench.load.published import LAYOUTS, Published
from bench.load.published import started as published_started
from bench.load.raw import Raw
from bench.load.session import LEVELS, Plan, Session, SetResult, levels, target_of
from runtime.launch import Service, ended_by_sigterm, started
from runtime.ports import free_ports
from settings.config import load_config
from terminal.console import open_console


def main(argv: Sequence[str]) -> int:
    """Run the benchmark; 0 when it ran, 1 when something could not be measured."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    console = open_console()
    try:
        with ended_by_sigterm():
            document = _Run(arguments, console).run()
    except RuntimeError as error:
        console.print(f"bench throughput: {error}", style="red", markup=False)
        return 1
    if arguments.json:
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


class _Run:
    def __init__(self, arguments: argparse.Namespace, console: Console) -> None:
        self._arguments = arguments
        self._console = console
        self._sets = make_sets(arguments.sets)
        self._plan = self._make_plan()
        self._document: dict[str, Any] = {}

    def _make_plan(self) -> Plan:
        asked = self._arguments
        http, grpc = not asked.grpc_only, not asked.http_only
        generator = rpc_generator = ""
        if http:
            try:
                generator = generators.available(asked.generator)
            except RuntimeError as error:
                self._console.print(f"HTTP is not measured: {error}", style="yellow")
                http = False
        if grpc:
            rpc_generator = "h2load" if shutil.which("h2load") else "grpcio"
            if rpc_generator == "grpcio":
                self._console.print(
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
        asked = self._arguments
        document = self._document
        document.update(
            {
                "machine": machine(),
                "seconds": asked.seconds,
                "runs": asked.runs,
                "generators": {"HTTP": self._plan.generator, "gRPC": self._plan.rpc_generator},
            }
        )
        with contextlib.ExitStack() as stack:
            raw = stack.enter_context(Raw(asked.config))
            service = self._service(stack)
            pids = service_pids(service.pid)
            status = stack.enter_context(self._console.status("starting"))
            session = Session(self._plan, raw, service, pids, status.update)
            if asked.latency:
                document["sets"] = self._latency(session)
            elif asked.arrivals or asked.overload:
                document.update(self._open_loop(session, service, pids, status.update))
            else:
                document["sets"] = self._throughput(session, stack)
        return document

    def _service(self, stack: contextlib.ExitStack) -> Service:
        asked = self._arguments
        if asked.pid is not None:
            return Service(asked.pid, asked.url, asked.address)
        return stack.enter_context(started(asked.config))

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
        if self._arguments.plot:
            report.plot(results, self._arguments.plot)
        return [result.to_dict() for result in results]

    def _start_published(self, stack: contextlib.ExitStack) -> dict[str, Published]:
        config = load_config(self._arguments.config)
        (model,) = config.chosen_models("ArcFace")
        return {
            LAYOUTS[name].title: stack.enter_context(
                published_started(model, free_ports(), LAYOUTS[name])
            )
            for name in self._arguments.published
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
        say: Callable[[str], None],
    ) -> dict[str, Any]:
        asked, found = self._arguments, {}
        for pictures in self._sets:
            capacity = session.capacity(pictures)
            target = target_of(service, pictures)
            side = Side(service.address, target.message, pids, target.answer_bytes)
            say(f"{pictures.title}: open loop")
            found[pictures.name] = self._one_open_loop(pictures, side, capacity)
        return {"overload" if asked.overload else "arrivals": found}

    def _one_open_loop(self, pictures: PictureSet, side: Side, capacity: float) -> dict[str, Any]:
        asked = self._arguments
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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench throughput", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add = parser.add_argument
    add("--sets", nargs="+", choices=NAMES, default=list(NAMES), help="default: all")
    add("--seconds", type=float, default=4.0, help="of one measured run (default: 4)")
    add("--runs", type=int, default=5, metavar="N", help="rounds, medians count (default: 5)")
    add("--levels", type=levels, default=LEVELS, metavar="N,N", help="default: 1,2,4,8,16,32")
    add("--generator", choices=generators.HTTP, default="", help="for HTTP")
    only = parser.add_mutually_exclusive_group()
    only.add_argument("--http-only", action="store_true", help="leave gRPC out")
    only.add_argument("--grpc-only", action="store_true", help="leave HTTP out")
    add(
        "--published",
        nargs="*",
        choices=tuple(LAYOUTS),
        default=list(LAYOUTS),
        help="published layouts for aligned faces (default: both)",
    )
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--latency", action="store_true", help="one client, idle machine")
    other.add_argument("--arrivals", type=float, metavar="SHARE", help="Poisson, e.g. 0.7")
    other.add_argument("--overload", type=float, metavar="FACTOR", help="e.g. 4")
    add("--duration", type=float, help="seconds of --arrivals (30) or --overload (60)")
    add("--config", type=Path, default=Path("config.yml"), metavar="FILE")
    add("--pid", type=int, help="web_service.py that runs already, with --url and --address")
    add("--url", default="http://127.0.0.1:9998/ArcFace/prediction")
    add("--address", default="127.0.0.1:18091", help="of gRPC")
    add("--json", type=output_file, metavar="FILE")
    add("--plot", type=plot_file, metavar="FILE")
    return parser
