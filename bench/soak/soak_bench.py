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

import click
import psutil

from bench import frame
from bench.frame import SERVICE, Bench, benchmark
from bench.load.cpu import Meter
from bench.soak.clients import Job
from bench.soak.show import Bar, plot, show
from bench.soak.watch import Clients, Record
from runtime.launch import Service
from terminal.options import Count, Number


def _run(bench: Bench, service: Service, record: Record) -> None:
    asked = bench.asked
    job = Job(service.url, service.address, asked.clients, asked.interval)
    with Clients(job) as clients, Bar(bench.notes) as bar:
        pids = {"service": service.pid, "clients": clients.pid}
        meter = Meter(pids)
        for report in clients.reports():
            record.note(report)
            record.sample(report, service.pid, meter.cores()["others"])
            meter = Meter(pids)
            share = max(record.seconds / (60.0 * asked.minutes), record.requests / asked.requests)
            bar.show(min(share, 1.0), record)
            if share >= 1.0:
                break
        else:
            raise RuntimeError("the clients ended by themselves")
        for report in clients.stop():
            record.note(report)


@benchmark(
    click.option("--minutes", type=Number(0, min_open=True), default=60.0, help="At most."),
    click.option("--requests", type=Count(1), default=200_000, help="At most."),
    click.option("--clients", type=Count(1), default=8, help="At a time."),
    click.option(
        "--interval", type=Number(0, min_open=True), default=5.0, help="Seconds between samples."
    ),
    *SERVICE,
    frame.plot("Draw the samples; .png, .svg or .pdf."),
)
def main(bench: Bench) -> None:
    """No growth and no wrong answer; what there is, also where it is interrupted."""
    record = Record()
    try:
        with bench.service() as service:
            _run(bench, service, record)
    except KeyboardInterrupt:
        record.trouble = "interrupted"
        raise
    except (RuntimeError, OSError, psutil.Error) as error:
        record.trouble = str(error)
    finally:
        show(record, bench.console)
        bench.results = record.to_dict()
        bench.expected[
            "nothing grew, every request answered as it should"
        ] = not record.complaints()
        if bench.asked.plot and record.samples:
            plot(record.samples, bench.asked.plot)
