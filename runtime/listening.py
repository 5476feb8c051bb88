"""Sockets that the service listens on: its own, and those that a parent hands down."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from settings.config import Config, ConfigError

LISTENING = "FACE_SERVICE_LISTENING"  # the environment's name for a socket from the parent
_BACKLOG = 1024


@dataclass(frozen=True)
class Place:
    """A port that the configuration names. key: the setting, for messages."""

    key: str
    host: str
    port: int

    @property
    def family(self) -> socket.AddressFamily:
        """IPv6 or IPv4."""
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    def refusal(self, config: Config, why: str) -> ConfigError:
        """What is said where nobody can listen there."""
        return ConfigError(
            f"{config.path}: {self.key}: cannot listen on {self.host}:{self.port}: {why}"
        )


def rpc_place(config: Config) -> Place:
    """The pipeline's gRPC port."""
    return Place("rpc_port", config.rpc_host, config.rpc_port)


def http_place(config: Config) -> Place:
    """The pipeline's HTTP port; 0 for none."""
    return Place("http_port", config.http_host, config.http_port)


def gateway_place(config: Config) -> Place:
    """The REST gateway's port; 0 for none."""
    return Place("gateway.port", config.gateway.host, config.gateway.port)


def check_places(config: Config) -> None:
    """Raise ConfigError if something listens on a port already, or it may not be used.

    Replicas share their port with whoever asks for that, so a second service has to look first.
    """
    pipelines = (rpc_place(config), http_place(config)) if config.replicas else ()
    for place in (*pipelines, gateway_place(config)):
        if not place.port:
            continue
        with socket.socket(place.family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((place.host, place.port))
            except OSError as error:
                raise place.refusal(config, str(error.strerror)) from None


def inherited() -> socket.socket | None:
    """The listening socket that the parent holds for this process; None without one."""
    file = os.environ.get(LISTENING)
    if file is None:
        return None
    made = socket.socket(fileno=int(file))
    made.setblocking(False)
    return made


def listen(config: Config, place: Place, shared: bool) -> socket.socket:
    """A listening socket; with `shared`, replicas may listen on the port as well.

    Raises ConfigError where the port is taken.
    """
    return begin_to_listen(config, place, bind(config, place, shared))


def bind(config: Config, place: Place, shared: bool) -> socket.socket:
    """The same, but nobody is let in before `begin_to_listen`. Raises ConfigError."""
    # Named as TCP, or asyncio leaves Nagle's algorithm on: answers would wait 40 ms for an
    # acknowledgement that the client's system holds back.
    made = socket.socket(place.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        made.bind((place.host, place.port))
    except OSError as error:
        made.close()
        raise place.refusal(config, str(error.strerror)) from None
    made.setblocking(False)
    return made


def begin_to_listen(config: Config, place: Place, bound: socket.socket) -> socket.socket:
    """The socket, which clients can reach now, if they could not before. Raises ConfigError."""
    try:
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise place.refusal(config, str(error.strerror)) from None
    return bound
