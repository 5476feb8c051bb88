"""The library: how large it is, how fast it is searched, and whether it is safe."""

from __future__ import annotations

from deploy.monitoring.dashboards.panels import Dashboard, Line, Panel, Row, gauge, quantile, rate

_SEARCH = "face_gateway_search_seconds"
_APP = "{{tenant}} {{app}}"
_PLACE = "{{tenant}} {{instance}}"

_SAFE = Row(
    "Is it safe",
    [
        Panel(
            "Database",
            "none",
            [Line(gauge("face_library_up"), _PLACE)],
            width=6,
            is_stat=True,
            names={0: "down", 1: "up"},
        ),
        Panel(
            "Audit log",
            "none",
            [Line(gauge("face_gateway_healthy", 'part="audit"'), _PLACE)],
            width=6,
            is_stat=True,
            names={0: "no", 1: "written"},
        ),
        Panel(
            "Newest backup",
            "dateTimeFromNow",
            [Line(gauge("face_library_backup_seconds") + " * 1000", _PLACE)],
            "Many years: there is none.",
            6,
            is_stat=True,
        ),
        Panel(
            "Index behind",
            "s",
            [Line(f"max by (tenant) ({gauge('face_library_index_behind_seconds')})", "{{tenant}}")],
            "Of the app that is behind for longest.",
            6,
            is_stat=True,
        ),
    ],
)

_SIZE = Row(
    "Size",
    [
        Panel("Faces", "none", [Line(gauge("face_library_faces"), _APP)]),
        Panel("Users", "none", [Line(gauge("face_library_users"), _APP)]),
        Panel("Groups", "none", [Line(gauge("face_library_groups"), _APP)]),
        Panel(
            "New faces",
            "none",
            [Line(f"delta({gauge('face_library_faces')}[1h])", _APP)],
            "Within an hour; below 0 where more were deleted.",
            least=None,
        ),
        Panel(
            "Room of database and snapshots",
            "bytes",
            [
                Line(
                    gauge("face_disk_free_bytes", 'folder=~"database|snapshots"'),
                    _PLACE + " {{folder}}",
                )
            ],
        ),
        Panel("Index behind", "s", [Line(gauge("face_library_index_behind_seconds"), _APP)]),
    ],
)

_USE = Row(
    "Use",
    [
        Panel("Searches", "ops", [Line(rate(f"{_SEARCH}_count", by="tenant"), "{{tenant}}")]),
        Panel(
            "Time of a search",
            "s",
            [
                Line(quantile(0.5, _SEARCH, by="tenant"), "{{tenant}} half"),
                Line(quantile(0.95, _SEARCH, by="tenant"), "{{tenant}} 95 %"),
                Line(quantile(0.99, _SEARCH, by="tenant"), "{{tenant}} 99 %"),
            ],
        ),
        Panel(
            "Changes",
            "reqps",
            [
                Line(
                    rate(
                        "face_gateway_requests_total",
                        by="tenant, path",
                        where='path=~".*/(add|update|delete|copy)",code="0"',
                    ),
                    "{{tenant}} {{path}}",
                )
            ],
            "Requests that changed something.",
        ),
    ],
)

LIBRARY = Dashboard("face-library", "Face library", [_SAFE, _SIZE, _USE])
