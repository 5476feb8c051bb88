"""What /metrics shows of others: the connections to the pipeline, its models, the library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

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


def library_families(statistics: Sequence[Statistics] | None) -> list[Metric]:
    """statistics: of every app; None while the database does not answer."""
    up = _gauge("library_up", "1: the database answered when it was last asked.", [])
    up.add_metric([], float(statistics is not None))
    sizes: dict[str, list[int]] = {}
    ranked = sorted(statistics or (), key=lambda one: one.faces, reverse=True)
    for place, one in enumerate(ranked):
        users = one.users
        figures = (len(one.groups), users, one.faces)
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
