"""The tenants side by side: who is down, who is slow, who takes what."""

from __future__ import annotations

from deploy.monitoring.dashboards.panels import Dashboard, Line, Panel, Row, gauge, rate

_JOB = 'job="face-gateway"'
_TENANT = "{{tenant}}"

_STATE = Row(
    "State",
    [
        Panel(
            "Up",
            "none",
            [Line(f"max by (tenant) ({gauge('up', _JOB)})", _TENANT)],
            "Any of its gateways.",
            12,
            is_stat=True,
            names={0: "down", 1: "up"},
        ),
        Panel(
            "Well",
            "none",
            [Line(f"min by (tenant) ({gauge('face_gateway_healthy')})", _TENANT)],
            "Pipeline, library and audit log.",
            12,
            is_stat=True,
            names={0: "no", 1: "well"},
        ),
        Panel(
            "Faces",
            "none",
            [Line(f"sum by (tenant) ({gauge('face_library_faces')})", _TENANT)],
            width=12,
            is_stat=True,
        ),
        Panel(
            "Serving since",
            "s",
            [
                Line(
                    f"time() - max by (tenant) ({gauge('process_start_time_seconds', _JOB)})",
                    _TENANT,
                )
            ],
            "The gateway's newest start.",
            12,
            is_stat=True,
        ),
    ],
)

_LOAD = Row(
    "Load",
    [
        Panel(
            "Requests",
            "reqps",
            [Line(gauge("tenant:face_requests:rate5m"), _TENANT)],
            "Of five minutes.",
        ),
        Panel(
            "Faults",
            "percentunit",
            [
                Line(
                    gauge("tenant:face_request_faults:rate5m")
                    + " / "
                    + gauge("tenant:face_requests:rate5m"),
                    _TENANT,
                )
            ],
            "Share of the requests that fail by a fault of the service.",
        ),
        Panel(
            "Refused",
            "percentunit",
            [
                Line(
                    gauge("tenant:face_requests_refused:rate5m")
                    + " / "
                    + gauge("tenant:face_requests:rate5m"),
                    _TENANT,
                )
            ],
            "Share of the requests that get error 18.",
        ),
        Panel(
            "Time of a request, half",
            "s",
            [Line(gauge("tenant:face_request_seconds:p50_5m"), _TENANT)],
        ),
        Panel(
            "Time of a request, 99 %",
            "s",
            [Line(gauge("tenant:face_request_seconds:p99_5m"), _TENANT)],
        ),
        Panel(
            "Queue",
            "percentunit",
            [Line(f"max by (tenant) ({gauge('replica:face_pipeline_queue:ratio')})", _TENANT)],
            "Of the fullest replica.",
        ),
    ],
)

_TAKEN = Row(
    "What they take",
    [
        Panel(
            "Processor of the gateway",
            "percentunit",
            [Line(rate("process_cpu_seconds_total", by="tenant", where=_JOB), _TENANT)],
            "Cores.",
            6,
        ),
        Panel(
            "Memory of the gateway",
            "bytes",
            [Line(f"sum by (tenant) ({gauge('process_resident_memory_bytes', _JOB)})", _TENANT)],
            width=6,
        ),
        Panel(
            "Work of the stages",
            "percentunit",
            [
                Line(
                    rate(
                        "face_pipeline_stage_seconds_sum",
                        by="tenant",
                        where='action=~"prep|midp|postp"',
                    ),
                    _TENANT,
                )
            ],
            "Threads that are at work.",
            6,
        ),
        Panel(
            "Room on the disks",
            "bytes",
            [Line(f"min by (tenant) ({gauge('face_disk_free_bytes')})", _TENANT)],
            "Of the fullest disk.",
            6,
        ),
    ],
)

TENANTS = Dashboard("face-tenants", "Face tenants", [_STATE, _LOAD, _TAKEN])
