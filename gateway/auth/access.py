"""Who is calling, and what that caller may do."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass

from starlette.requests import Request

from gateway.auth.key_cache import KeyCache
from gateway.auth.key_store import KeyStore
from gateway.auth.keys import ADMIN, ROLES, Credential, Key, credential_of, is_key_id, new_token
from gateway.auth.networks import TrustedNetworks
from gateway.auth.rates import Failures, Rates, source_of
from gateway.errors import ApiError, ErrorCode
from settings.config import Config
from web.origins import is_of_elsewhere

# Details of ApiError INVALID_TOKEN where a token is asked for, in OAuth's words.
UNKNOWN_CLIENT = "unknown client id"
WRONG_SECRET = "Client authentication failed"  # noqa: S105 - a sentence

# Lookups a second, together, of keys that addresses name which have shown many wrong ones.
_SPARE_LOOKUPS = 20.0


@dataclass(frozen=True)
class Caller:
    """Who sent a request. app: None for any.

    key: its id, "" where no keys are asked for; of a client in a trusted network its address.
    """

    key: str
    app: str | None
    role: str


@dataclass(frozen=True)
class Grant:
    """An access token, and for how many seconds it is good."""

    token: str
    seconds: int


class Access:
    """Checks keys and access tokens. For one event loop.

    required: whether a request without a key is refused, unless it comes from a trusted network.
    Where it is not, everybody may do everything but web pages of elsewhere, and no database is
    asked.

    An address that has shown many wrong credentials is told to wait, instead of that they are
    wrong, and only few of its further ones are looked up. A good key is never kept out by it:
    behind a proxy, everybody has the same address.
    """

    def __init__(self, config: Config, keys: KeyCache | None = None) -> None:
        """keys: where keys are found; by default in the library's database, opened when needed."""
        self.required = config.gateway.needs_keys
        self._config = config.gateway
        self._keys = keys if keys is not None else KeyCache(KeyStore(config.library_config()))
        self._networks = TrustedNetworks(config.gateway.trusted_networks)
        self._rates = Rates()
        self._failures = Failures()

    async def caller(self, request: Request) -> Caller:
        """The sender of a request, by its credential: see `credential_in`.

        The id of the key that it names, right or wrong, is then in `request.state.key`.

        Raises ApiError: INVALID_TOKEN, EXPIRED_TOKEN, TOO_MANY_REQUESTS over the key's rate or
        after many wrong credentials, DATABASE where the key cannot be looked up. Where no keys are
        asked for: NO_PERMISSION.
        """
        request.state.key = ""
        if not self.required:
            if is_of_elsewhere(request.scope["headers"]):
                raise ApiError(ErrorCode.NO_PERMISSION, "web pages of elsewhere need a key")
            return Caller("", None, ADMIN)
        credential = credential_in(request)
        if credential is None:
            if not shows_credential(request) and self._networks.have(request):
                return self._neighbour(source_of(address_of(request)))
            raise ApiError(ErrorCode.INVALID_TOKEN)
        request.state.key = credential.key
        key = await self._proven(credential, address_of(request))
        rate = self._config.rate_limit if key.rate is None else key.rate
        if not self._rates.admit(key.id, rate):
            raise ApiError(ErrorCode.TOO_MANY_REQUESTS)
        self._keys.note_use(key)
        return Caller(key.id, key.app, key.role)

    def _neighbour(self, source: str) -> Caller:
        """A client of a trusted network. Raises ApiError TOO_MANY_REQUESTS."""
        if not self._rates.admit(source, self._config.rate_limit):
            raise ApiError(ErrorCode.TOO_MANY_REQUESTS)
        return Caller(source, self._config.trusted_app, self._config.trusted_role)

    def authorise(self, caller: Caller, role: str, app: str | None) -> str:
        """The app that a caller acts in. role: that the operation needs. app: as asked for.

        Without one it is the key's own, or the default app. Raises ApiError NO_PERMISSION for a
        role that is too low, or another app than the key's.
        """
        if ROLES.index(caller.role) < ROLES.index(role):
            raise ApiError(ErrorCode.NO_PERMISSION)
        if caller.app is None:
            return self._config.default_app if app is None else app
        if app is not None and app != caller.app:
            raise ApiError(ErrorCode.NO_PERMISSION)
        return caller.app

    async def grant(self, client_id: str, client_secret: str, address: str) -> Grant:
        """An access token for the credentials of a key; for any where no keys are asked for.

        Raises ApiError: INVALID_TOKEN with the detail UNKNOWN_CLIENT or WRONG_SECRET,
        TOO_MANY_REQUESTS after many wrong ones, DATABASE.
        """
        seconds = self._config.access_token_s
        if not self.required:
            # No credential: once keys are asked for, its holder is told to ask for another one.
            return Grant(f"open.{secrets.token_hex(32)}", seconds)
        if not is_key_id(client_id):
            raise self._refusal(address, UNKNOWN_CLIENT)
        credential = credential_of(f"{client_id}.{client_secret}")
        if credential is None or credential.ends is not None:
            raise self._refusal(address, WRONG_SECRET)
        key = await self._proven(credential, address, UNKNOWN_CLIENT, WRONG_SECRET)
        self._keys.note_use(key)
        return Grant(new_token(key, int(time.time()) + seconds), seconds)

    async def _proven(
        self, credential: Credential, address: str, unknown: str = "", wrong: str = ""
    ) -> Key:
        """The key that a credential proves. unknown, wrong: what a refusal is to say."""
        if (
            self._failures.too_many(address)
            and not self._keys.has(credential.key)
            and not self._rates.admit("", _SPARE_LOOKUPS)
        ):
            raise ApiError(ErrorCode.TOO_MANY_REQUESTS)
        key = await self._keys.find(credential.key)
        if key is None or key.revoked is not None:
            raise self._refusal(address, unknown)
        if not credential.fits(key):
            raise self._refusal(address, wrong)
        if credential.ends is not None and credential.ends <= time.time():
            raise ApiError(ErrorCode.EXPIRED_TOKEN)
        return key

    def _refusal(self, address: str, detail: str) -> ApiError:
        """The error for a wrong credential, which is counted."""
        if self._failures.too_many(address):
            return ApiError(ErrorCode.TOO_MANY_REQUESTS)
        self._failures.add(address)
        return ApiError(ErrorCode.INVALID_TOKEN, detail)

    async def close(self) -> None:
        """Let go of the database."""
        await self._keys.close()


def credential_in(request: Request) -> Credential | None:
    """The first that there is: parameter access_token, header X-Api-Key, Authorization: Bearer.

    None where there is none, or it is none. The parameter may not be a secret: addresses are
    written to proxies' logs, and a secret has no end. The cloud's Node SDK joins its own name to it
    by a second question mark; what follows that is no part of the token.
    """
    token = request.query_params.get("access_token", "").partition("?")[0]
    if token:
        credential = credential_of(token)
        return credential if credential is not None and credential.ends is not None else None
    key = request.headers.get("x-api-key")
    if key:
        return credential_of(key.strip())
    scheme, _, text = request.headers.get("authorization", "").partition(" ")
    return credential_of(text.strip()) if scheme.lower() == "bearer" else None


def shows_credential(request: Request) -> bool:
    """Whether a request has something where a credential is looked for, good or not."""
    scheme = request.headers.get("authorization", "").partition(" ")[0].lower()
    named = request.query_params.get("access_token") or request.headers.get("x-api-key")
    return bool(named) or scheme == "bearer"


def address_of(request: Request) -> str:
    """The address that a request came from, "" where it is not known."""
    return request.client.host if request.client is not None else ""
