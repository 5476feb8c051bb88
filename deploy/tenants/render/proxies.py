"""Reverse proxies: `/NAME/...` over TLS to each tenant's gateway; nginx and Traefik.

A tenant's metrics are not passed on: Prometheus asks the gateways themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from deploy.tenants.render.paths import NOTE
from deploy.tenants.settings_file import settings_of
from deploy.tenants.tenant import Tenant
from deploy.tenants.tenant_file import TenantFile
from settings.gateway import GatewayConfig

# Over the gateway's own limits, which answers in the API's form, by so much.
_MORE_BYTES, _MORE_S = 1 << 20, 5


def nginx(file: TenantFile) -> Iterator[tuple[str, str]]:
    """Relative path and text of what nginx includes in its section `http`."""
    proxy = file.proxy
    locations = "\n".join(_location(file, tenant) for tenant in file.tenants)
    text = f"""\
# {NOTE}
# For nginx's section http. Neither addresses' query strings are logged nor anything of bodies:
# access tokens may stand there.
log_format face_tenants '$remote_addr [$time_iso8601] $request_method $uri $status '
                        '$body_bytes_sent $request_time';

server {{
    listen {proxy.port} ssl;
    server_name {proxy.server_name};
    ssl_certificate {proxy.certificate};
    ssl_certificate_key {proxy.certificate_key};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:face_tenants:1m;
    server_tokens off;

    location / {{
        return 404;
    }}
{locations}}}
"""
    yield "nginx/face-tenants.conf", text


def access_log(tenant: Tenant) -> str:
    """The file of a tenant's requests as nginx writes it."""
    return str(tenant.log / "access.log")


def _location(file: TenantFile, tenant: Tenant) -> str:
    gateway = _gateway(file, tenant)
    seconds = gateway.request_timeout_ms // 1000 + _MORE_S
    return f"""
    location = /{tenant.name}/metrics {{
        return 404;
    }}

    location /{tenant.name}/ {{
        access_log {access_log(tenant)} face_tenants;
        client_max_body_size {gateway.request_bytes + _MORE_BYTES};
        proxy_pass http://127.0.0.1:{tenant.ports.gateway}/;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_request_buffering off;
        proxy_read_timeout {seconds}s;
        proxy_send_timeout {seconds}s;
    }}
"""


def _gateway(file: TenantFile, tenant: Tenant) -> GatewayConfig:
    given = settings_of(file, tenant)["gateway"]
    return GatewayConfig(**given)


def traefik(file: TenantFile) -> Iterator[tuple[str, str]]:
    """Relative path and text of a file for Traefik's file provider (version 3).

    Its static settings need an entry point `websecure` and a provider of this file.
    """
    http: dict[str, Any] = {"routers": {}, "middlewares": {}, "services": {}}
    for tenant in file.tenants:
        prefix = f"{tenant.name}-prefix"
        http["routers"][tenant.name] = {
            "entryPoints": ["websecure"],
            "rule": _rule(file, tenant),
            "service": tenant.name,
            "middlewares": [prefix],
            "tls": {},
        }
        http["middlewares"][prefix] = {"stripPrefix": {"prefixes": [f"/{tenant.name}"]}}
        http["services"][tenant.name] = {
            "loadBalancer": {
                "servers": [{"url": f"http://127.0.0.1:{tenant.ports.gateway}"}],
                "passHostHeader": True,
                "healthCheck": {"path": "/health", "interval": "10s", "timeout": "5s"},
            }
        }
    certificate = {
        "certFile": str(file.proxy.certificate), "keyFile": str(file.proxy.certificate_key)
    }  # fmt: skip
    document = {"http": http, "tls": {"certificates": [certificate]}}
    yield "traefik/face-tenants.yml", f"# {NOTE}\n{yaml.safe_dump(document, sort_keys=False)}"


def _rule(file: TenantFile, tenant: Tenant) -> str:
    rule = f"PathPrefix(`/{tenant.name}/`) && !Path(`/{tenant.name}/metrics`)"
    name = file.proxy.server_name
    return rule if name == "_" else f"Host(`{name}`) && {rule}"
