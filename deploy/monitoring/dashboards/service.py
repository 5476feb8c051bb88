"""The service: who asks for what, how long it takes, what fails, and which stage is the reason."""

from __future__ import annotations

from deploy.monitoring.dashboards.panels import (
    Dashboard,
    Line,
    Panel,
    Row,
    gauge,
    mean,
    quantile,
    rate,
)

_REQUESTS = "face_gateway_requests_total"
_SECONDS = "face_gateway_request_seconds"
_STAGE = "face_pipeline_stage_seconds"
_WELL = {0: "down", 1: "well"}
_PLACE = "{{tenant}} {{instance}}"

_NOW = Row(
    "Now",
    [
        Panel(
            "Gateways",
            "none",
            [Line(gauge("up", 'job="face-gateway"'), _PLACE)],
            is_stat=True,
            names={0: "down", 1: "up"},
        ),
        Panel(
            "Health",
            "none",
            [Line(gauge("face_gateway_healthy"), "{{tenant}} {{part}}")],
            is_stat=True,
            names=_WELL,
        ),
        Panel(
            "TLS",
            "none",
            [Line(gauge("face_tls_up"), "{{tenant}} {{address}}")],
            "Only where gateway.tls_address is set.",
            4,
            is_stat=True,
            names={0: "down", 1: "up"},
        ),
        Panel(
            "Certificate ends in",
            "s",
            [Line(gauge("face_tls_certificate_expiry_seconds") + " - time()", "{{address}}")],
            width=4,
            is_stat=True,
        ),
    ],
)

_ASKED = Row(
    "Requests",
    [
        Panel(
            "Requests", "reqps", [Line(rate(_REQUESTS, by="tenant, path"), "{{tenant}} {{path}}")]
        ),
        Panel(
            "Requests by app",
            "reqps",
            [Line(rate(_REQUESTS, by="tenant, app"), "{{tenant}} {{app}}")],
        ),
        Panel(
            "Errors by number",
            "reqps",
            [Line(rate(_REQUESTS, by="tenant, code", where='code!="0"'), "{{tenant}} {{code}}")],
            "1, 222901, 222910 and 222911 are the service's own; 18 is a refusal.",
        ),
        Panel(
            "Faults and refusals",
            "percentunit",
            [
                Line(
                    gauge("tenant:face_request_faults:rate5m")
                    + " / "
                    + gauge("tenant:face_requests:rate5m"),
                    "{{tenant}} faults",
                ),
                Line(
                    gauge("tenant:face_requests_refused:rate5m")
                    + " / "
                    + gauge("tenant:face_requests:rate5m"),
                    "{{tenant}} refused",
                ),
                Line(
                    gauge("tenant:face_credentials_refused:rate5m")
                    + " / "
                    + gauge("tenant:face_requests:rate5m"),
                    "{{tenant}} no good key",
                ),
            ],
            "Of five minutes, as the alerts have it.",
        ),
        Panel(
            "Time of a request",
            "s",
            [
                Line(quantile(0.5, _SECONDS, by="tenant"), "{{tenant}} half"),
                Line(quantile(0.95, _SECONDS, by="tenant"), "{{tenant}} 95 %"),
                Line(quantile(0.99, _SECONDS, by="tenant"), "{{tenant}} 99 %"),
            ],
        ),
        Panel(
            "Time by path, 95 %",
            "s",
            [Line(quantile(0.95, _SECONDS, by="tenant, path"), "{{tenant}} {{path}}")],
        ),
        Panel(
            "Requests under way",
            "none",
            [
                Line(gauge("face_gateway_requests_in_flight"), _PLACE),
                Line(gauge("face_gateway_requests_limit"), _PLACE + " limit"),
            ],
        ),
        Panel(
            "Faces found",
            "short",
            [Line(rate("face_gateway_faces_total", by="tenant"), "{{tenant}}")],
            "A second.",
        ),
        Panel(
            "Searches, 95 %",
            "s",
            [Line(quantile(0.95, "face_gateway_search_seconds", by="tenant"), "{{tenant}}")],
        ),
    ],
)

_PIPELINE = Row(
    "Pipeline",
    [
        Panel(
            "Requests by outcome",
            "reqps",
            [
                Line(
                    rate("face_pipeline_requests_total", by="tenant, outcome"),
                    "{{tenant}} {{outcome}}",
                )
            ],
        ),
        Panel(
            "Time in the pipeline",
            "s",
            [
                Line(
                    quantile(0.5, "face_pipeline_latency_seconds", by="tenant"), "{{tenant}} half"
                ),
                Line(
                    quantile(0.99, "face_pipeline_latency_seconds", by="tenant"), "{{tenant}} 99 %"
                ),
            ],
        ),
        Panel(
            "Share of the queue's places",
            "percentunit",
            [Line(gauge("replica:face_pipeline_queue:ratio"), "{{tenant}} replica {{replica}}")],
        ),
        Panel(
            "Waiting before each stage",
            "none",
            [Line(gauge("face_pipeline_queue_length"), "{{tenant}} {{replica}} {{stage}}")],
        ),
        Panel(
            "Share of its time that a stage works",
            "percentunit",
            [Line(gauge("face_pipeline_stage_load"), "{{tenant}} {{replica}} {{stage}}")],
            most=1,
        ),
        Panel(
            "Inference of a batch, 95 %",
            "s",
            [
                Line(
                    quantile(0.95, _STAGE, by="tenant, stage", where='action="midp"'),
                    "{{tenant}} {{stage}}",
                )
            ],
        ),
        Panel(
            "Work of a stage, by kind",
            "percentunit",
            [
                Line(
                    rate(
                        _STAGE + "_sum",
                        by="tenant, stage, action",
                        where='action=~"prep|midp|postp"',
                    ),
                    "{{tenant}} {{stage}} {{action}}",
                )
            ],
            "Seconds of work a second.",
        ),
        Panel(
            "Requests in a batch",
            "none",
            [
                Line(
                    mean("face_pipeline_stage_batch_size", by="tenant, stage"),
                    "{{tenant}} {{stage}}",
                )
            ],
        ),
        Panel(
            "Connections to pipelines",
            "none",
            [
                Line(
                    f"sum by (tenant, address) ({gauge('face_pipeline_connected')})",
                    "{{tenant}} {{address}} up",
                ),
                Line(
                    f"sum by (tenant, address) ({gauge('face_pipeline_calls')})",
                    "{{tenant}} {{address}} calls",
                ),
            ],
        ),
        Panel(
            "Models",
            "none",
            [Line(gauge("face_pipeline_model_info"), "{{tenant}} {{stage}}: {{model}}")],
            "As the newest answer named them.",
            24,
            is_stat=True,
        ),
    ],
)

_MACHINE = Row(
    "Gateway's process and disks",
    [
        Panel(
            "Processor",
            "percentunit",
            [
                Line(
                    rate(
                        "process_cpu_seconds_total",
                        by="tenant, instance",
                        where='job="face-gateway"',
                    ),
                    _PLACE,
                )
            ],
            "Cores.",
            6,
        ),
        Panel(
            "Memory",
            "bytes",
            [Line(gauge("process_resident_memory_bytes", 'job="face-gateway"'), _PLACE)],
            width=6,
        ),
        Panel(
            "Open files",
            "none",
            [Line(gauge("process_open_fds", 'job="face-gateway"'), _PLACE)],
            width=6,
        ),
        Panel(
            "Room on the disks",
            "bytes",
            [Line(gauge("face_disk_free_bytes"), "{{tenant}} {{instance}} {{folder}}")],
            width=6,
        ),
        Panel(
            "Parts of traces",
            "ops",
            [
                Line(
                    rate("face_gateway_trace_spans_total", by="tenant, outcome"),
                    "{{tenant}} gateway {{outcome}}",
                ),
                Line(
                    rate("face_pipeline_trace_spans_total", by="tenant, outcome"),
                    "{{tenant}} pipeline {{outcome}}",
                ),
            ],
            "Where tracing.endpoint is set.",
            24,
        ),
    ],
)

SERVICE = Dashboard("face-service", "Face service", [_NOW, _ASKED, _PIPELINE, _MACHINE])
