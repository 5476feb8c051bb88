"""``python -m gateway keys``: keys are made, revoked and listed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.kills.keys import Keys, LiveKey, RevokedKey
from bench.kills.operator.order import Done, Order
from bench.kills.processes.nursery import KEYS
from bench.kills.record import Record
from bench.kills.truth import Finding


class KeyOrders:
    """Commands on the keys of a gateway with these settings.

    tokens: access tokens by their keys' ids. on_revoked: is told of each revocation that was
    acknowledged.
    """

    def __init__(self, config: Path, keys: Keys, record: Record) -> None:
        self.keys = keys
        self.tokens: dict[str, str] = {}
        self.on_revoked: Callable[[RevokedKey], None] = lambda _: None
        self._config = config
        self._record = record

    def create(self, app: str) -> Order:
        """Make a key; clients use it once its making has been acknowledged."""
        arguments = ["create", "--app", app, "--role", "write", "--json"]

        def told(done: Done) -> dict[str, Any] | None:
            line, newline, _ = done.out.partition("\n")
            return json.loads(line) if newline else None

        async def end(done: Done) -> None:
            key = told(done)
            if key is not None:
                self.keys.add(LiveKey(key["id"], key["secret"], app))

        return Order(
            "keys create", KEYS, self._arguments(*arguments), end, lambda d: told(d) is not None
        )

    def revoke(self, key: LiveKey) -> Order:
        def revoked(done: Done) -> bool:
            return f"key {key.id} is revoked" in done.out

        async def end(done: Done) -> None:
            if revoked(done):
                token = self.tokens.pop(key.id, "")
                gone = RevokedKey(key, time.monotonic(), token)
                self.keys.revoked.append(gone)
                self.on_revoked(gone)
                return
            if "there is no key" in done.errors:
                self._found("key lost", f"key {key.id}", "keys revoke does not know it")
                return
            self.keys.unsure.append(key)

        return Order("keys revoke", KEYS, self._arguments("revoke", key.id), end, revoked)

    def list_keys(self) -> Order:
        """List the keys; what was acknowledged has to be in it."""
        live = [key for keys in self.keys.live.values() for key in keys]
        revoked = [one.key for one in self.keys.revoked]

        async def end(done: Done) -> None:
            if not done.succeeded:
                return
            listed = {key["id"]: key for key in json.loads(done.out)}
            for key in live:
                there = listed.get(key.id)
                # One that was taken meanwhile may be revoked by now.
                if there is None or (there["revoked"] and self.keys.is_live(key)):
                    said = "is not listed" if there is None else "is listed as revoked"
                    self._found("key lost", f"key {key.id}", said)
            for key in revoked:
                there = listed.get(key.id)
                if there is not None and not there["revoked"]:
                    said = "is listed as good"
                    self._found("revoked key answered", f"key {key.id}", said)

        return Order("keys list", KEYS, self._arguments("list", "--json"), end)

    def _arguments(self, *arguments: str) -> list[str]:
        return ["--config", str(self._config), "keys", *arguments]

    def _found(self, kind: str, where: str, said: str) -> None:
        self._record.found([Finding(kind, where, said)])
