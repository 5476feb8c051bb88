"""A service that asks for keys, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gateway.auth.key_store import KeyStore
from gateway.auth.keys import Key, new_token
from settings.config import load_config
from tests.support.gateway.client import App, new_app
from tests.support.service import Service

REQUEST_BYTES = 4 * 1024 * 1024
REQUEST_S = 8


class GuardedService(Service):
    """A service that asks for keys, takes URLs of pictures, and has narrow limits."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, _guard, gateway=True)
        self.keys = KeyStore(load_config(self.config).library_config())

    def new_key(
        self, role: str, app: str | None = None, rate: float | None = None
    ) -> tuple[str, str]:
        """Id and secret of a new key, for an app of its own unless one is named."""
        name = None if role == "admin" else app or new_app()
        key, secret = self.keys.create(name, role, "", rate)
        return key.id, secret

    def key(self, id_: str) -> Key:
        """A key as it is stored."""
        found = self.keys.find(id_)
        assert found is not None
        return found

    def token(self, id_: str, ends: int) -> str:
        """An access token of a key until a time, in seconds since 1970."""
        return new_token(self.key(id_), ends)

    def client(self, role: str, app: str, **rate: float) -> App:
        """An app's client that shows a new key."""
        id_, secret = self.new_key(role, app, rate.get("rate"))
        return App(self.gateway_url, "", headers={"x-api-key": f"{id_}.{secret}"})


def _guard(settings: dict[str, Any]) -> None:
    settings["gateway"].update(
        access="on",
        url_images=True,
        url_timeout_ms=2000,
        request_bytes=REQUEST_BYTES,
        request_timeout_ms=REQUEST_S * 1000,
    )
