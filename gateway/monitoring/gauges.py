"""What /metrics shows of others: the pipeline, the library, the disks, the proxy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.monitoring.disks import Room
from library.records import Statistics

MOST_APPS = 100  # apps with figures of their own; what the others have is summed up as OTHER
OTHER = "other"


class Gauges(Collector):
    """The families as they were last set; empty at first."""

    def __init__(self) -> None:
        self._families: tuple[Metric, ...] = ()

    def set(self, families: Iterable[Metric]) -> None:
        """Replace what is shown."""
        self._families = tuple(families)

    def collect(self) -> Iterable[Metric]:
        return self._families


def connection_families(states: Sequence[tuple[str, bool, int]]) -> list[Metric]:
    """states: address, whether it is connected, and calls under way, of every connection."""
    names = ["address", "connection"]
    up = _gauge("pipeline_connected", "1: the connection to the pipeline is up.", names)
    calls = _gauge("pipeline_calls", "Calls under way on the connection.", names)
    count: dict[str, int] = {}
    for address, connected, under_way in states:
        labels = [address, str(count.setdefault(address, 0))]
        count[address] += 1
        up.add_metric(labels, float(connected))
        calls.add_metric(labels, float(under_way))
    return [up, calls]


def model_families(models: Mapping[str, str]) -> list[Metric]:
    """models: the model's name by stage, as the pipeline told."""
    info = _gauge("pipeline_model_info", "Always 1; which stage runs what.", ["stage", "model"])
    for stage, model in models.items():
        info.add_metric([stage, model], 1.0)
    return [info]


def health_families(parts: Mapping[str, bool]) -> list[Metric]:
    """parts: whether each part that GET /health looks at is well."""
    well = _gauge("gateway_healthy", "1: GET /health finds nothing wrong with the part.", ["part"])
    for part, is_well in parts.items():
        well.add_metric([part], float(is_well))
    return [well]


def trace_families(counts: Mapping[str, int]) -> list[Metric]:
    """counts: of the gateway's spans, by what became of them."""
    spans = CounterMetricFamily(
        "face_gateway_trace_spans",
        "Parts of traces: sent to the receiver, failed to be, or dropped as too many waited.",
        labels=["outcome"],
    )
    for outcome, count in counts.items():
        spans.add_metric([outcome], count)
    return [spans]


def disk_families(rooms: Mapping[str, Room]) -> list[Metric]:
    """rooms: by what lies there."""
    names = ["folder"]
    free = _gauge("disk_free_bytes", "Room for the service on the disk of a folder.", names)
    size = _gauge("disk_size_bytes", "Size of the disk of a folder.", names)
    for what, room in rooms.items():
        free.add_metric([what], room.free)
        size.add_metric([what], room.size)
    return [free, size]


def certificate_families(address: str, is_shown: bool, expiry: float | None) -> list[Metric]:
    """address: where TLS is served. expiry: of the last certificate that was shown there."""
    up = _gauge("tls_up", "1: TLS was served at gateway.tls_address.", ["address"])
    up.add_metric([address], float(is_shown))
    end = _gauge(
        "tls_certificate_expiry_seconds",
        "When the certificate there ends, in seconds since 1970.",
        ["address"],
    )
    if expiry is not None:
        end.add_metric([address], expiry)
    return [up, end]


def upkeep_families(backup: float, behind: Mapping[str, float]) -> list[Metric]:
    """backup: when the newest was written. behind: for how long, by app; see `IndexLag`."""
    newest = _gauge(
        "library_backup_seconds",
        "When the newest backup was written, in seconds since 1970; 0: never.",
        [],
    )
    newest.add_metric([], backup)
    lag = _gauge(
        "library_index_behind_seconds",
        "For how long the app's index has been lacking changes of the database.",
        ["app"],
    )
    shown: dict[str, float] = {}
    for place, (app, seconds) in enumerate(sorted(behind.items(), key=lambda one: -one[1])):
        shown.setdefault(app if place < MOST_APPS else OTHER, seconds)
    for app, seconds in shown.items():
        lag.add_metric([app], seconds)
    return [newest, lag]


def library_families(statistics: Sequence[Statistics] | None) -> list[Metric]:
    """statistics: of every app; None while the database does not answer."""
    up = _gauge("library_up", "1: the database answered when it was last asked.", [])
    up.add_metric([], float(statistics is not None))
    sizes: dict[str, list[int]] = {}
    ranked = sorted(statistics or (), key=lambda one: one.faces, reverse=True)
    for place, one in enumerate(ranked):
        figures = (len(one.groups), one.users, one.faces)
        total = sizes.setdefault(one.app if place < MOST_APPS else OTHER, [0, 0, 0])
        total[:] = [a + b for a, b in zip(total, figures)]
    families: list[Metric] = [up]
    for index, what in enumerate(("groups", "users", "faces")):
        family = _gauge(f"library_{what}", f"Number of {what} that are enrolled.", ["app"])
        for app, total in sizes.items():
            family.add_metric([app], float(total[index]))
        families.append(family)
    return families


def _gauge(name: str, text: str, labels: Sequence[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"face_{name}", text, labels=labels)
