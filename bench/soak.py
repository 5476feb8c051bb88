"""Hours of mixed load, and whether anything grows meanwhile: ``python -m bench soak``.

Clients send all picture sets over HTTP and gRPC, with and without attributes and liveness, one
request in ten a bad one, one in twenty from a client that leaves before its answer, some of them
in the middle of the request. Every answer is checked: a good request has to bring its faces, a bad
one its number.

Every few seconds the memory, descriptors and threads of all processes of the service are noted
with the latency of the requests answered meanwhile. At the end the last quarter of the run is held
against the first, after a warm-up of a tenth; latency only in the intervals in which other programs
left the processors alone. Exit status 0 only where nothing grew and no request
was answered otherwise than it should. It ends after ``--minutes`` or ``--requests``, whichever is
first; Ctrl-C ends it with the verdict on what there is.
"""

from __future__ import annotations

import argparse
import contextlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import psutil
from rich.console import Console

from bench.load.cpu import Meter, machine
from bench.load.outputs import output_file, plot_file
from bench.soaking.clients import Job
from bench.soaking.show import Bar, plot, show
from bench.soaking.watch import Clients, Record
from runtime.launch import Service, ended_by_sigterm, started
from terminal.console import open_console


def main(argv: Sequence[str]) -> int:
    """Run it; 0 without growth and errors, 1 otherwise, 130 when it was interrupted."""
    arguments = _parser().parse_args(argv)
    console = open_console()
    record, status = Record(), 0
    try:
        with ended_by_sigterm(), _service(arguments, console) as service:
            _run(arguments, service, record, console)
    except KeyboardInterrupt:
        record.trouble, status = "interrupted", 130
    except (RuntimeError, OSError, psutil.Error) as error:
        record.trouble = str(error)
    _conclude(arguments, record, console)
    return status or int(bool(record.complaints()))


def _run(arguments: argparse.Namespace, service: Service, record: Record, console: Console) -> None:
    job = Job(service.url, service.address, arguments.clients, arguments.interval)
    with Clients(job) as clients, Bar(console) as bar:
        pids = {"service": service.pid, "clients": clients.pid}
        meter = Meter(pids)
        for report in clients.reports():
            record.note(report)
            record.sample(report, service.pid, meter.cores()["others"])
            meter = Meter(pids)
            share = max(
                record.seconds / (60.0 * arguments.minutes), record.requests / arguments.requests
            )
            bar.show(min(share, 1.0), record)
            if share >= 1.0:
                break
        else:
            raise RuntimeError("the clients ended by themselves")
        for report in clients.stop():
            record.note(report)


def _conclude(arguments: argparse.Namespace, record: Record, console: Console) -> None:
    show(record, console)
    if arguments.json:
        settings = {name: getattr(arguments, name) for name in ("clients", "interval")}
        document = {"machine": machine(), **settings, **record.to_dict()}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    if arguments.plot and record.samples:
        plot(record.samples, arguments.plot)


@contextlib.contextmanager
def _service(arguments: argparse.Namespace, console: Console) -> Iterator[Service]:
    if arguments.pid is not None:
        yield Service(arguments.pid, arguments.url, arguments.address)
        return
    console.print(f"starting the service of {arguments.config} on free ports")
    with started(arguments.config) as service:
        yield service


def _above(least: float, text: str) -> float:
    value = float(text)
    if not least < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above {least:g}")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    add, above_zero = parser.add_argument, partial(_above, 0.0)
    add("--minutes", type=above_zero, default=60.0, metavar="N", help="at most (default: 60)")
    add("--requests", type=_count, default=200_000, metavar="N", help="at most (default: 200000)")
    add("--clients", type=_count, default=8, metavar="N", help="at a time (default: 8)")
    add("--interval", type=above_zero, default=5.0, help="seconds between samples (default: 5)")
    add("--config", type=Path, default=Path("config.yml"), metavar="FILE")
    add("--pid", type=int, help="web_service.py that runs already, with --url and --address")
    add("--url", default="http://127.0.0.1:9998/ArcFace/prediction")
    add("--address", default="127.0.0.1:18091", help="of gRPC")
    add("--json", type=output_file, metavar="FILE")
    add("--plot", type=plot_file, metavar="FILE", help=".png, .svg or .pdf")
    return parser
