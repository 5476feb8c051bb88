"""docs/metrics.md as the code has it; ``python -m tests.support.metrics_document`` writes it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway.monitoring.metrics import Metrics
from settings.config import Log, load_config
from tests.gateway.monitoring.test_metrics import Connected, Counted, Looked, counted

FILE = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
OURS = "face_"


def metrics_document() -> str:
    """The whole text."""
    rows = "\n".join(_row(family) for family in families() if family.name.startswith(OURS))
    return f"""# Metrics

What `GET /metrics` has, in Prometheus' text format. A counter's name ends with `_total` there, a
histogram has `_bucket`, `_sum` and `_count`. The usual figures of the gateway's process
(`process_...`, `python_...`) come with them. `GET /metrics` of the pipeline's HTTP port has those
that begin with `face_pipeline_`, of all replicas.

| metric | type | labels | meaning |
|---|---|---|---|
{rows}
"""


def families() -> Iterable[Metric]:
    """Of a gateway that has answered, with a pipeline that counts and a library."""
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(FILE.parents[1] / "config.yml")
        gateway = config.gateway.model_copy(update={"tls_address": "127.0.0.1:1"})
        config = config.model_copy(update={"log": Log(dir=folder), "gateway": gateway})
        counted(config)
        metrics = Metrics(config)
        metrics.request("/", 0, "", 0.1)
        metrics._surroundings._expiry = 0.0  # as if a certificate had been shown once
        text = asyncio.run(metrics.render(Connected(), Counted(), Looked())).decode()
    return sorted(text_string_to_metric_families(text), key=lambda family: family.name)


def _row(family: Metric) -> str:
    labels = {label: None for sample in family.samples for label in sample.labels if label != "le"}
    named = ", ".join(f"`{label}`" for label in labels)
    return f"| `{family.name}` | {family.type} | {named} | {family.documentation} |"


if __name__ == "__main__":
    FILE.write_text(metrics_document(), encoding="utf-8")
