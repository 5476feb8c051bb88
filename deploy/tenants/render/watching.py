"""Prometheus' targets, a label `tenant` on each; logrotate for what the proxy writes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from deploy.tenants.render.paths import NOTE
from deploy.tenants.render.proxies import access_log
from deploy.tenants.tenant import Tenant
from deploy.tenants.tenant_file import ROOT, TenantFile

# As the rules and dashboards of deploy/monitoring/ know the gateways.
JOB = "face-gateway"
_RULES = ROOT / "deploy" / "monitoring" / "rules"


def prometheus(file: TenantFile) -> Iterator[tuple[str, str]]:
    """A configuration that scrapes all tenants, and a file of targets for each.

    The latter are for a configuration that is there already (`file_sd_configs`); such a job needs
    the tenant's key, and so one job a tenant.
    """
    jobs = [_job(tenant) for tenant in file.tenants]
    document = {
        "global": {"scrape_interval": "15s", "evaluation_interval": "15s"},
        "rule_files": [str(_RULES / "*.yml")],
        "scrape_configs": jobs,
    }
    yield "prometheus/prometheus.yml", _yaml(document)
    for tenant in file.tenants:
        yield f"prometheus/targets/{tenant.name}.yml", _yaml([_target(tenant)])


def _job(tenant: Tenant) -> dict[str, Any]:
    return {
        "job_name": f"{JOB}-{tenant.name}",
        "metrics_path": "/metrics",
        "authorization": {"type": "Bearer", "credentials_file": str(tenant.keys)},
        "static_configs": [_target(tenant)],
    }


def _target(tenant: Tenant) -> dict[str, Any]:
    # With one job's name for all, rules and dashboards tell tenants apart by their label alone.
    return {
        "targets": [f"127.0.0.1:{tenant.ports.gateway}"],
        "labels": {"job": JOB, "tenant": tenant.name},
    }


def logrotate(file: TenantFile) -> Iterator[tuple[str, str]]:
    """For the proxy's logs, one a tenant; the service rotates its own."""
    logs = "\n".join(access_log(tenant) for tenant in file.tenants)
    text = f"""\
# {NOTE}
{logs} {{
    daily
    maxsize 50M
    rotate 14
    missingok
    notifempty
    compress
    delaycompress
    sharedscripts
    postrotate
        if [ -f /run/nginx.pid ]; then kill -USR1 "$(cat /run/nginx.pid)"; fi
    endscript
}}
"""
    yield "logrotate/face-tenants", text


def _yaml(document: Any) -> str:
    return f"# {NOTE}\n{yaml.safe_dump(document, sort_keys=False)}"
