"""Every table that a command shows, filled with figures as wide as they get.

`SHOWN`: a name and a function that prints the table and returns words that have to be in it.
"""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from bench import gateway, memory, replicas
from bench.attacks import attacks_bench as attacks
from bench.attacks.watch import Phase
from bench.engines import engines_bench as engines
from bench.enrol import enrol_bench as enrol
from bench.frame import Bench
from bench.kills import show as killing
from bench.kills.record import Record as Kills
from bench.load import report
from bench.load.figures import Load
from bench.load.mixture import Mixed
from bench.load.session import SetResult
from bench.models import models_bench as models
from bench.quality import quality_bench as quality
from bench.search import show as searching
from bench.search.growth import Point
from bench.soak import show as soaking
from bench.soak.watch import Record, Sample
from bench.tune import show as tuning
from bench.tune.knobs import Knob
from bench.tune.sweep import Trial
from client.cli.load import Outcome, Summary
from client.cli.report import FaceTable, show_summary
from client.demo import __main__ as demo
from client.pictures import Picture
from client.pipeline.answer import Answer, FaceAnswer, ImageAnswer
from client.rest.answers import FoundFace, FoundUser, Location
from convert import terminal as convert
from convert.catalog import load_catalog
from deploy.check import report as checking
from deploy.check.finding import Outcome as CheckOutcome
from gateway import __main__ as keys
from gateway.auth.keys import Key
from library.commands import import_command, search_command, stats_command, verify_command
from library.commands.importing import Person, Refused, Report
from library.commands.service_client import Seen
from library.library import Hit
from library.records import GroupStatistics, Problem, Statistics
from tests.support import trace_writer
from tests.support.trace_writer import op, query
from tracer import terminal_view as tracer
from tracer.setup import Setup
from tracer.source import Range, course, read

PICTURES = SimpleNamespace(title="six faces in 1280 x 960", name="six", faces=6)
QPS, MS = 1_234_567.8, {"p50": 123_456.7, "p90": 234_567.8, "p99": 345_678.9}
CORES = {"pipeline": 63.52, "generator": 12.34, "others": 48.76, "raw": 0.01, "published": 31.9}
NOW = datetime.datetime(2026, 1, 31, 14, 30, tzinfo=datetime.UTC)


def load(side, **more):
    return Load(side, 1024, QPS, dict(MS), 98_765, cores=dict(CORES), batch=8, **more)


def throughput(console):
    result = SetResult(PICTURES, [load("HTTP"), load("gRPC")])
    result.rounds = {name: [load(name)] for name in ("raw", "HTTP", "published, tuned")}
    report.show_set(result, console)
    return ["QPS", "faces/s", "1234567.8", "7407406.8", "345678.9", "98765", "63.52", "31.90"]


def latency(console):
    result = SetResult(PICTURES, latency={"published, tuned": {**MS, "ratio": 12.34}})
    report.show_latency([result], console)
    return ["p50/raw p50", "123456.7", "345678.9", "12.34"]


def overload(console):
    figures = {
        "factor": 4.0, "codes": {"OK": 123_456, "RESOURCE_EXHAUSTED": 7_654_321}, "seconds": 60.0,
        "requests": 7_777_777, "goodput": QPS, "goodput/capacity": 0.98, "capacity": QPS,
        "answer_ms": MS, "refusal_ms": MS, "single_ms": {"before": MS, "after": MS},
        "memory": [(n * 1.0, 987_654_321) for n in range(1, 60)], "memory_growth": None,
        "cores": CORES, "kept": {"refused within 50 ms": True},
    }  # fmt: skip
    report.show_overload(PICTURES.title, figures, console)
    return ["good answers", "123456.7", "RESOURCE_EXHAUSTED", "988"]


def enrolment(console):
    medians = dict.fromkeys(enrol.TARGETS, QPS)
    medians.update({f"plain {way}": QPS for way in enrol.TARGETS})
    enrol.show_store(medians, 100_000, console)
    one = {"rates": medians, "alone_ms": 12_345.67, "paced": medians}
    one.update(beside_ms=medians, ratios=medians)
    enrol.show_indexed({"exact": one, "approximate": one}, 100_000, 1_000_000, console)
    return ["plain sqlite3", "1,234,568", "12345.67", "approximate"]


def search(console):
    own = {"single_ms": 1234.56, "single_p99_ms": 2345.67, "single_per_s": QPS}
    own.update(batch_ms=98_765.4, batch_per_s=QPS)
    sides = (searching.EXACT, searching.APPROXIMATE)
    beside = {"faces_per_s": QPS, "beside_ms": MS, "ratio": {"p50": 12.3, "p99": 123.4}}
    found = {
        "medians": dict.fromkeys((searching.FLAT, searching.FP16, *sides), own),
        "recall": {**dict.fromkeys(sides, 0.9987), "target": 0.998},
        "memory": {key: {"counted": 512.3, "resident": 634.5, "of_vector": 1.24} for key in sides},
        "build": dict.fromkeys(sides, QPS),
        "snapshot": {key: {"save_s": 123.45, "ready_s": 234.56} for key in sides},
        "groups": {key: {"1%": 12.34, "50%": 123.45} for key in sides},
        "writer": {key: {"paced": beside, "unpaced": beside} for key in sides},
        "others_cores": 0.0, "kept": {"exact": True}, "faces": 10_000_000, "dim": 512, "runs": 5,
        "model": "made up",
    }  # fmt: skip
    searching.show(found, console)
    figures = dict.fromkeys((*sides, searching.FLAT, searching.FP16), 12345.67)
    searching.show_growth([Point(10_000_000, figures, figures, figures, False)], 512, console)
    return ["1234.56", "98765.4", "1,234,568", "123456.70 (12.30)", "10,000,000*", "12345.67"]


def soak(console):
    samples = [
        Sample(5.0 * n, 300, 60.0, 0, 987_654_321_000, 987_654_321_000, 30, 20, 1e5, 2e5)
        for n in range(40)
    ]
    soaking.show(Record(samples, seconds=200.0), console)
    return ["allowed", "987654.3"]


def tune(console):
    mixed = Mixed((load("HTTP"),), CORES)
    trials = [
        Trial("op.Attributes.concurrency", 128, step, [mixed], [mixed]) for step in ("first", "all")
    ]
    tuning.show_trials(trials, [Knob(("op", "Attributes", "concurrency"), 64, (128,))], console)
    return ["QPS", "1234567.8", "123457", "63.52", "1.00 ±0.02"]


def memory_use(console):
    command = "-m ops.serving /a/very/long/path/to/the/settings/of/this/service/config.yml 0"
    usage = memory.Usage(4_194_303, command, 123_456_789_000, 123_456_789_000, 98_765_432_100)
    memory.show([usage], 1200.0, console)
    return ["RSS MB", "4194303", "123456.8", "98765.4"]


def percentiles(console):
    quality.percentiles(console, "the rest", {"occlusion right_cheek": [1.23e-5] * 9})
    return ["99 %", "1.23e-05", "occlusion right_cheek"]


def of_gateway(console):
    one = load("x").to_dict()
    names = [*gateway.PIPELINE.values(), *gateway.TARGETS]
    found = {
        "picture": "one face", "faces": 1_000_000, "machine": {}, "kept": {},
        "median": dict.fromkeys(names, one), "single": dict.fromkeys(names, one),
        "ratios": dict.fromkeys(names, 0.98), "latency_ratios": dict.fromkeys(names, 12.34),
    }  # fmt: skip
    gateway.show(found, console)
    return ["p99 ms", "1234567.8", "345678.9", "12.34", *names]


def of_models(console):
    timings = [
        models.Timing("mobilefacenet_128", 256, 12_345.67, 12_345.67, 0.98, 1.2e-7),
        models.Timing("face_resnet_128", 256, 12_345.67, note="onnxruntime does not take it"),
    ]
    console.print(models._table(timings))
    return ["onnxruntime ms", "12345.67", "1e-07", "mobilefacenet_128"]


def of_engines(console):
    name, side = "mobilefacenet_128", "onnxruntime fp32"
    timings = [
        engines.Timing(name, 256, side, 12_345.67, 1.0, 1.2e-7, chosen=True),
        engines.Timing(name, 256, "openvino bf16", note="this processor has no bf16"),
        engines.Timing(engines.CHAIN, 8, side, 12_345.67, 0.98, 1.2e-7),
    ]
    console.print(engines._table(timings))
    return ["onnxruntime / it", "12345.67", "1e-07", name, engines.CHAIN, f"{side} *"]


def of_replicas(console):
    mixed = Mixed((load("HTTP"),), CORES)
    bench = Bench("replicas", SimpleNamespace(replicas=64, limit=None))
    bench.console = console
    replicas._show(bench, PICTURES, [(mixed, mixed)], 1.98)
    return ["replicas", "1234567.8", "98765", "pipeline"]


def clients(console):
    table = FaceTable()
    attributes = {"age": 31.4, "gender": {"type": "female", "probability": 0.98}}
    face = FaceAnswer(
        (10_000, 20_000, 30_000, 40_000), 0.93, np.zeros((5, 2), np.float32),
        np.full(128, 0.088, np.float32), attributes, 0.99,
    )  # fmt: skip
    picture = Picture("holidays/2026/a-very-long-name-of-a-picture_0001.jpeg", Path("x"))
    answer = Answer(ImageAnswer(99_999, 99_999, (face,) * 11), {"ArcFace": "x"}, {})
    table.add(Outcome(picture, 0, 1.0, answer))
    table.show(console)
    summary = Summary(1_000_000, 12_345.67, 7_654_321, errors=Counter({"5103": 123_456}))
    summary.latencies.extend([12.3456] * 9)
    show_summary(summary, console)
    return ["box (pixels)", "10000 20000 30000 40000", "points", "12345.6", "7654321 faces"]


def of_demo(console):
    location = Location(12_345.0, 23_456.0, 1_234.0, 2_345.0, 0.0)
    user = FoundUser("staff", "person_1", "", 98.7)
    found = FoundFace(location=location, users=(user,), token="")
    demo._show([demo.Recognised(found, user, "Somebody with a rather long name")], console)
    return ["box (pixels)", "12345 23456 13579 25801", "98.7"]


def trace(folder: Path) -> Path:
    """A file of the tracer with wide figures."""
    name = "AStageWithALongName"
    busy = [op(name, 123_456.7, 23_456.7, 98_765.4, 12_345.6, 1234.5)] * 2
    busy += [query(number, 100_000 + number) for number in range(40)]
    return trace_writer.write(folder, [busy, busy, busy])


def of_tracer(console, folder):
    setup = Setup({}, 10, 64)
    reading = read([trace(folder)], Range(span=None), setup, False)
    console.print(tracer.period_view(reading, setup, course(reading, setup, 14)))
    return ["threads", "over time", "123,456.7", "98,765.4"]


def _session(console):
    return SimpleNamespace(out=console)


def of_library(console):
    then = datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.UTC)
    groups = (GroupStatistics("g" * 48, 12_345_678, 23_456_789, then, then),)
    app = Statistics("a" * 60, "mobilefacenet_128", 128, 34_567_890, 45_678_901, groups)
    stats_command._show_apps([app], console)
    faces = (FaceAnswer((10_000, 20_000, 30_000, 40_000), 0.93),)
    hits = [[Hit("g" * 48, "u" * 120, "i" * 250, 100.0, 1.0)]]
    search_command._show(_session(console), Seen(faces, "x"), hits)
    refused = [Refused("p" * 150, "u", "no_face", "There is no face in the picture")]
    person = Person("n" * 85, "i" * 61, 12_345, 23_456, {"too_many_faces": 34_567, "no_face": 1})
    report = Report("app", "group", refused=refused, people={"u": person})
    import_command._show(report, console)
    problem = Problem("indexed_too_much", "a" * 60, 9_223_372_036_854_775_807, "")
    found = verify_command.Found([problem], {})
    verify_command._show(_session(console), found, repair=False, as_json=False)
    return [
        "12345678", "34567890", "mobilefacenet_128", "10000 20000 30000 40000", "100.0", "no_face",
        "9223372036854775807", "indexed_too_much", "i" * 61, "12345", "23456", "34568",
    ]  # fmt: skip


def of_keys(console, monkeypatch):
    key = Key("ak_" + "0" * 24, "a" * 60, "admin", "for the gate", 999_999.5, NOW, NOW, NOW, b"")
    monkeypatch.setattr(keys, "open_console", lambda **_: console)
    keys._show([key])
    return ["ak_" + "0" * 24, "1e+06/s", "admin", "2026-01-31"]


def of_attacks(console):
    wide = {"HTTP": 12_345.6, "gRPC": 2.5}
    phase = Phase("lossless WebP of 50 megapixels", 1_234_567, wide, wide, {"gRPC 3003": 2}, 1234)
    phase.held = (10**10, 10**11, 10**10)
    attacks.show(Phase("quiet"), [phase], console)
    return ["1234567", "12346", "100000"]


def of_kills(console):
    record = Kills("postgresql", 1, Counter({"library import, a command": 12_345}))
    record.acknowledged["enrol by a picture"] = 1_234_567
    record.restarted("library import, a command", 12.3)
    killing.show(record, console)
    return ["1234567", "12345", "12.3 s", "acknowledged, and lost"]


def catalog(console, monkeypatch):
    monkeypatch.setattr(convert, "open_console", lambda **_: console)
    convert.print_models(load_catalog(), lambda _: True)
    return ["mobilefacenet_128 *", "converted"]


def of_check(console):
    words = "another service of this kind has it: python (process 4194303), /srv/face/other.yml"
    rows = [
        checking.Row("network.port", "gateway.port 65535", "port", "free, or this service's", words,
                     outcome, "End that one, or write another port at gateway.port.")
        for outcome in CheckOutcome
    ]  # fmt: skip
    checking.show(checking.Report("all", tuple(rows)), console)
    return ["not applicable", "gateway.port 65535", "(process 4194303)", "NOT READY: 1 failure"]


SHOWN = {
    "bench throughput": throughput, "bench throughput --latency": latency,
    "bench throughput --overload": overload, "bench enrol": enrolment, "bench search": search,
    "bench soak": soak, "bench tune": tune, "bench memory": memory_use,
    "bench quality": percentiles, "bench gateway": of_gateway, "bench models": of_models,
    "bench engines": of_engines, "bench replicas": of_replicas, "bench attacks": of_attacks,
    "bench kills": of_kills,
    "clients": clients, "demo": of_demo, "tracer": of_tracer,
    "library": of_library, "gateway keys": of_keys, "convert --list": catalog,
    "deploy check": of_check,
}  # fmt: skip
