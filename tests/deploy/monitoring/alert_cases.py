"""For every alert, series with which it fires and series with which it does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DAY = 24 * 60
HERE = 'tenant="shop",instance="a:8300",job="face-gateway"'
_SHOWN = {"tenant": "shop", "instance": "a:8300"}
_ALL = {**_SHOWN, "job": "face-gateway"}


@dataclass(frozen=True)
class Case:
    """One alert at one moment.

    series: values by series, one a minute in promtool's notation. at: the minute that is looked at.
    labels: of the alert that fires then, None where none does. severity: of the alert.
    """

    alert: str
    series: Mapping[str, str]
    at: int
    labels: Mapping[str, str] | None = None
    severity: str = "warning"

    def __str__(self) -> str:
        return f"{self.alert}-{'fires' if self.labels is not None else 'quiet'}"

    def document(self) -> dict[str, Any]:
        """The case as promtool takes it."""
        expected = []
        if self.labels is not None:
            labels = {
                "alertname": self.alert,
                "alertstate": "firing",
                "severity": self.severity,
                **self.labels,
            }
            text = ",".join(f'{name}="{value}"' for name, value in labels.items())
            expected.append({"labels": f"ALERTS{{{text}}}", "value": 1})
        return {
            "name": str(self),
            "interval": "1m",
            "input_series": [
                {"series": series, "values": values} for series, values in self.series.items()
            ],
            "promql_expr_test": [
                {
                    "expr": f'ALERTS{{alertname="{self.alert}",alertstate="firing"}}',
                    "eval_time": f"{self.at}m",
                    "exp_samples": expected,
                }
            ],
        }


def requests(**rates: str) -> dict[str, str]:
    """Counters of the gateway's requests by their code, `c0` for success."""
    return {
        f'face_gateway_requests_total{{{HERE},path="/p",app="a",code="{code[1:]}"}}': values
        for code, values in rates.items()
    }


def one(name: str, values: str, more: str = "") -> dict[str, str]:
    """A series of the gateway."""
    return {f"{name}{{{HERE}{',' if more else ''}{more}}}": values}


def latency(fast: str, slow: str) -> dict[str, str]:
    """Requests that took up to 0.1 s, and such that took 2 to 5 s."""
    name = "face_gateway_request_seconds_bucket"
    return {
        **one(name, fast, 'path="/p",le="0.1"'),
        **one(name, fast, 'path="/p",le="2.0"'),
        **one(name, slow, 'path="/p",le="5.0"'),
        **one(name, slow, 'path="/p",le="+Inf"'),
    }


def queue(length: str) -> dict[str, str]:
    """A replica that takes 64 requests."""
    return {
        **one("face_pipeline_queue_length", length, 'replica="0",stage="Detection"'),
        **one("face_pipeline_queue_length", "1x60", 'replica="0",stage="Landmark"'),
        **one("face_pipeline_queue_limit", "64x60", 'replica="0"'),
    }


def disk(free: str) -> dict[str, str]:
    """Of 100 GB."""
    more = 'folder="logs"'
    return {
        **one("face_disk_free_bytes", free, more),
        **one("face_disk_size_bytes", "100000000000x3000", more),
    }


def backup(made: str, faces: str) -> dict[str, str]:
    """made: when the newest backup was written. faces: how many are enrolled."""
    return {
        **one("face_library_backup_seconds", made),
        **one("face_library_faces", faces, 'app="a"'),
    }


_LOGS = {**_ALL, "folder": "logs"}
_TLS = {**_ALL, "address": "face:443"}
_CERTIFICATE = "face_tls_certificate_expiry_seconds"
CRITICAL = "critical"

CASES = [
    Case("FaceGatewayDown", one("up", "1x3 0x10"), 6, _ALL, CRITICAL),
    Case("FaceGatewayDown", one("up", "1x3 0 1x10"), 6),
    Case("FacePipelineDown", one("face_gateway_healthy", "0x9", 'part="pipeline"'), 3, _SHOWN,
         CRITICAL),
    Case("FacePipelineDown", {'up{tenant="shop",instance="a:9998",job="face-pipeline"}': "0x9"}, 3,
         {"tenant": "shop", "instance": "a:9998"}, CRITICAL),
    Case("FacePipelineDown", one("face_gateway_healthy", "1x9", 'part="pipeline"'), 3),
    Case("FacePipelineConnectionLost",
         {**one("face_pipeline_connected", "0x9", 'address="b:1",connection="0"'),
          **one("face_pipeline_connected", "1x9", 'address="c:1",connection="0"')}, 6,
         {**_SHOWN, "address": "b:1"}),
    Case("FacePipelineConnectionLost",
         {**one("face_pipeline_connected", "0x9", 'address="b:1",connection="0"'),
          **one("face_pipeline_connected", "1x9", 'address="b:1",connection="1"')}, 6),
    Case("FaceRestarting", one("process_start_time_seconds", "0+1x40"), 35, _ALL),
    Case("FaceRestarting", one("process_start_time_seconds", "5x20 1000x20"), 35),
    Case("FaceNoTraffic", requests(c0=f"0+1x{DAY} {DAY}x60"), DAY + 45, {"tenant": "shop"}),
    Case("FaceNoTraffic", requests(c0=f"0+1x{DAY + 60}"), DAY + 45),
    # As on the day before at this time.
    Case("FaceNoTraffic", requests(c0=f"7x{DAY + 60}"), DAY + 45),
    Case("FaceErrors", requests(c0="0+90x20", c222901="0+10x20"), 15, {"tenant": "shop"}, CRITICAL),
    Case("FaceErrors", requests(c0="0+90x20", c222910="0+1x20"), 15),
    # No fault of the service.
    Case("FaceErrors", requests(c0="0+90x20", c222202="0+90x20"), 15),
    Case("FaceLatencyHigh", latency("0+90x30", "0+100x30"), 20, {"tenant": "shop"}),
    Case("FaceLatencyHigh", latency("0+1000x30", "0+1001x30"), 20),
    Case("FaceQueueLong", queue("40x60"), 10, {**_ALL, "replica": "0"}),
    Case("FaceQueueLong", queue("20x60"), 10),
    Case("FaceGatewayFull", {**one("face_gateway_requests_in_flight", "250x9"),
                             **one("face_gateway_requests_limit", "256x9")}, 6, _ALL),
    Case("FaceGatewayFull", {**one("face_gateway_requests_in_flight", "25x9"),
                             **one("face_gateway_requests_limit", "256x9")}, 6),
    Case("FaceRefused", requests(c0="0+90x20", c18="0+10x20"), 15, {"tenant": "shop"}),
    Case("FaceRefused", requests(c0="0+1000x20", c18="0+1x20"), 15),
    Case("FacePipelineRefuses",
         {**one("face_pipeline_requests_total", "0+90x20", 'replica="0",outcome="ok"'),
          **one("face_pipeline_requests_total", "0+10x20", 'replica="0",outcome="refused"')}, 15,
         _ALL),
    Case("FacePipelineRefuses",
         {**one("face_pipeline_requests_total", "0+90x20", 'replica="0",outcome="ok"'),
          **one("face_pipeline_requests_total", "0x20", 'replica="0",outcome="refused"')}, 15),
    Case("FaceCredentialsRefused", requests(c0="0+9x30", c110="0+120x30"), 20, {"tenant": "shop"}),
    Case("FaceCredentialsRefused", requests(c0="0+9x30", c110="0+2x30"), 20),
    Case("FaceTenantDown",
         {**one("up", "0x9"), 'up{tenant="shop",instance="b:8300",job="face-gateway"}': "0x9"}, 3,
         {"tenant": "shop"}, CRITICAL),
    Case("FaceTenantDown",
         {**one("up", "0x9"), 'up{tenant="shop",instance="b:8300",job="face-gateway"}': "1x9"}, 3),
    Case("FaceTenantMissing",
         {'up{tenant="gone",instance="b:8300",job="face-gateway"}': "1x30", **one("up", "1x90")},
         80, {"tenant": "gone"}),
    Case("FaceTenantMissing",
         {'up{tenant="gone",instance="b:8300",job="face-gateway"}': "0x90", **one("up", "1x90")},
         80),
    Case("FaceNothingWatched", {'up{job="node"}': "1x20"}, 10, {"job": "face-gateway"}, CRITICAL),
    Case("FaceNothingWatched", one("up", "0x20"), 10),
    Case("FaceDatabaseDown", one("face_library_up", "0x9"), 3, _SHOWN, CRITICAL),
    Case("FaceDatabaseDown",
         {**one("face_library_up", "1x9"), **one("face_gateway_healthy", "0x9", 'part="library"')},
         3, _SHOWN, CRITICAL),
    Case("FaceDatabaseDown",
         {**one("face_library_up", "1x9"), **one("face_gateway_healthy", "1x9", 'part="library"')},
         3),
    Case("FaceAuditLogUnwritable", one("face_gateway_healthy", "0x9", 'part="audit"'), 3,
         {**_ALL, "part": "audit"}, CRITICAL),
    Case("FaceAuditLogUnwritable", one("face_gateway_healthy", "1x9", 'part="audit"'), 3),
    Case("FaceIndexStale", one("face_library_index_behind_seconds", "0+60x9", 'app="till"'), 6,
         {**_ALL, "app": "till"}),
    Case("FaceIndexStale", one("face_library_index_behind_seconds", "0 60 0x7", 'app="till"'), 6),
    Case("FaceBackupOld", backup("0x3000", "9x3000"), 27 * 60, _ALL),
    Case("FaceBackupOld", backup("72000x3000", "9x3000"), 27 * 60),
    # Nothing is enrolled yet.
    Case("FaceBackupOld", backup("0x3000", "0x3000"), 27 * 60),
    Case("FaceDiskFull", disk("4000000000x9"), 5, _LOGS, CRITICAL),
    Case("FaceDiskFull", disk("6000000000x9"), 5),
    Case("FaceDiskFilling", disk("29000000000-20000000x600"), 500, _LOGS),
    Case("FaceDiskFilling", disk("29000000000-200000x600"), 500),
    # There is time: more than a third is left.
    Case("FaceDiskFilling", disk("90000000000-60000000x600"), 500),
    Case("FaceFilesRunOut", {**one("process_open_fds", "950x9"),
                             **one("process_max_fds", "1024x9")}, 6, _ALL),
    Case("FaceFilesRunOut", {**one("process_open_fds", "95x9"),
                             **one("process_max_fds", "1024x9")}, 6),
    Case("FaceCertificateEnds", one(_CERTIFICATE, f"{13 * 86400}x30", 'address="face:443"'), 15,
         _TLS),
    Case("FaceCertificateEnds", one(_CERTIFICATE, f"{30 * 86400}x30", 'address="face:443"'), 15),
    Case("FaceCertificateEnded", one(_CERTIFICATE, "60x9", 'address="face:443"'), 2, _TLS,
         CRITICAL),
    Case("FaceCertificateEnded", one(_CERTIFICATE, f"{3 * 86400}x9", 'address="face:443"'), 2),
    Case("FaceTlsDown", one("face_tls_up", "0x9", 'address="face:443"'), 4, _TLS, CRITICAL),
    Case("FaceTlsDown", one("face_tls_up", "1 0 1x9", 'address="face:443"'), 4),
]  # fmt: skip
