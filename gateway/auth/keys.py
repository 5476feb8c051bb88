"""Keys of the gateway: what they are, what a client shows of them, and how that is checked.

A client has a key's id and its secret. It sends both, or an access token that was made for it:
the key's id, when the token ends, and an HMAC-SHA256 over both with the secret's hash. A token is
stored nowhere and ends with its key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import datetime

# Each may do what the one before it may. An admin's key belongs to no app and may act in all.
ROLES = ("read", "write", "admin")
ADMIN = "admin"

# No credential is longer; what is, need not be looked at.
MAX_CREDENTIAL = 128

_ID = r"(ak_[0-9a-f]{24})"
_KEY_ID = re.compile(_ID)
_KEY = re.compile(rf"{_ID}\.([0-9a-f]{{64}})")
_TOKEN = re.compile(rf"{_ID}\.([0-9]{{1,12}})\.([0-9a-f]{{64}})")


@dataclass(frozen=True)
class Key:
    """A key as it is stored.

    app: None for an admin's. rate: requests a second, None for what the settings say, 0 for any.
    used: when last, to about an hour; None for never. revoked: None while the key is good. Times
    are UTC. secret_hash: SHA-256 of the secret.
    """

    id: str
    app: str | None
    role: str
    comment: str
    rate: float | None
    created: datetime
    used: datetime | None
    revoked: datetime | None
    secret_hash: bytes = field(repr=False)


@dataclass(frozen=True)
class Credential:
    """What a client shows of a key. ends: of a token, seconds since 1970; None for a secret.

    proof: the secret, or the token's HMAC, as 64 hexadecimal digits.
    """

    key: str
    ends: int | None
    proof: str = field(repr=False)

    def fits(self, key: Key) -> bool:
        """Whether it was made from the key's secret; takes the same time for any proof."""
        if self.ends is None:
            return hmac.compare_digest(hash_of(self.proof), key.secret_hash)
        return hmac.compare_digest(self.proof, _signature(key, self.ends))


def new_id() -> str:
    """A new key's id. It is no secret."""
    return f"ak_{secrets.token_hex(12)}"


def new_secret() -> str:
    """A new key's secret: 256 bits, so that a fast hash protects it well enough."""
    return secrets.token_hex(32)


def hash_of(secret: str) -> bytes:
    """What is stored of a secret."""
    return hashlib.sha256(secret.encode()).digest()


def new_token(key: Key, ends: int) -> str:
    """An access token for a key until `ends`, in seconds since 1970."""
    return f"{key.id}.{ends}.{_signature(key, ends)}"


def credential_of(text: str) -> Credential | None:
    """The credential ID.SECRET or the token that a text is; None for any other text."""
    if len(text) > MAX_CREDENTIAL:
        return None
    if match := _KEY.fullmatch(text):
        return Credential(match[1], None, match[2])
    if match := _TOKEN.fullmatch(text):
        return Credential(match[1], int(match[2]), match[3])
    return None


def is_key_id(text: str) -> bool:
    """Whether a text has the form of a key's id."""
    return _KEY_ID.fullmatch(text) is not None


def _signature(key: Key, ends: int) -> str:
    said = f"access token {key.id} {ends}".encode()
    return hmac.new(key.secret_hash, said, hashlib.sha256).hexdigest()
