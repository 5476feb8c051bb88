"""Settings of the REST gateway: the section ``gateway`` of ``config.yml``."""

from __future__ import annotations

import ipaddress

from pydantic import Field, field_validator

from settings.section import Section


class GatewayConfig(Section):
    """Settings of the gateway.

    host, port: where it listens; port 0: no gateway. pipelines: HOST:PORT of gRPC; empty for
    this service's own. connections: to each of them, times this service's replicas.
    access: auto asks for keys unless `host` is an address of this machine alone; on: always.
    trusted_proxies: addresses and networks whose word is taken for whom a request came from.
    trusted_networks: addresses and networks whose clients need no key, and act in trusted_app as
    trusted_role lets them, read or write.
    default_app: of requests that name none, where no keys are asked for.
    create_groups: where face/add makes a group that is not there: private, in that spelling; all;
    none. The documents of the private deployment and of the cloud differ in it.
    request_timeout_ms: from arrival to answer. request_bytes: of one request's body.
    upload_bytes: of all bodies, from their first byte to the answer. requests: worked on at once,
    without those whose bodies are on their way.
    rate_limit: requests a second of a key that has no limit of its own; 0: none.
    threads: calls of the library at a time.
    token_s, tokens: how long and how many tokens of detected faces are kept, in token_file.
    url_images: whether pictures may be given as URL. url_timeout_ms, url_bytes: of fetching one.
    access_token_s: how long a token of /oauth/2.0/token is good.
    audit: whether changes and refusals are written to audit.log and refusals.log.
    tls_address: HOST:PORT where a proxy serves TLS for the gateway, whose certificate /metrics
    tells of; empty for none.
    """

    host: str = Field("127.0.0.1", min_length=1)
    port: int = Field(8300, ge=0, le=65535)
    pipelines: tuple[str, ...] = ()
    connections: int = Field(4, ge=1, le=64)
    access: str = Field("auto", pattern="^(auto|on)$")
    trusted_proxies: tuple[str, ...] = ()
    trusted_networks: tuple[str, ...] = ()
    trusted_app: str = Field("default", pattern=r"^[A-Za-z0-9_]{1,128}$")
    trusted_role: str = Field("read", pattern="^(read|write)$")
    default_app: str = Field("default", pattern=r"^[A-Za-z0-9_]{1,128}$")
    create_groups: str = Field("private", pattern="^(private|all|none)$")
    request_timeout_ms: int = Field(30_000, ge=10, le=3_600_000)
    request_bytes: int = Field(32 * 1024 * 1024, ge=1024, le=1024 * 1024 * 1024)
    upload_bytes: int = Field(256 * 1024 * 1024, ge=1024, le=64 * 1024 * 1024 * 1024)
    requests: int = Field(256, ge=1, le=65_536)
    rate_limit: float = Field(0.0, ge=0.0, le=1e6, strict=False)
    threads: int = Field(8, ge=1, le=256)
    token_s: int = Field(3600, ge=60, le=31_536_000)
    tokens: int = Field(1_000_000, ge=1000, le=1_000_000_000)
    token_file: str = Field("data/tokens.db", min_length=1)
    url_images: bool = False
    url_timeout_ms: int = Field(5000, ge=10, le=600_000)
    url_bytes: int = Field(10 * 1024 * 1024, ge=1024, le=1024 * 1024 * 1024)
    access_token_s: int = Field(2_592_000, ge=60, le=315_360_000)
    audit: bool = True
    tls_address: str = ""

    @field_validator("pipelines", "trusted_proxies", "trusted_networks", mode="before")
    @classmethod
    def _as_tuple(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @field_validator("pipelines")
    @classmethod
    def _addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            _check_address(address)
        return value

    @field_validator("tls_address")
    @classmethod
    def _address(cls, value: str) -> str:
        if value:
            _check_address(value)
        return value

    @field_validator("trusted_proxies", "trusted_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError(f"{network!r} is no address and no network") from None
        return value

    @field_validator("trusted_networks")
    @classmethod
    def _not_everybody(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            if ipaddress.ip_network(network).prefixlen == 0:
                raise ValueError(f"{network!r} is every address there is")
        return value

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine can reach it."""
        return is_loopback(self.host)

    @property
    def needs_keys(self) -> bool:
        """Whether a request without a key is refused."""
        return self.access == "on" or not self.is_local


def _check_address(address: str) -> None:
    """Raise ValueError for what is not HOST:PORT."""
    host, colon, port = address.rpartition(":")
    if not (colon and host and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{address!r} is not HOST:PORT")


def is_loopback(host: str) -> bool:
    """Whether what listens on `host` can be reached by programs of this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
