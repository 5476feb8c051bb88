"""Clients that cannot send a key, and are let in because of the network they are in."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from starlette.requests import Request

from gateway.auth.proxies import address_in, is_sure
from gateway.errors import ApiError, ErrorCode
from web.origins import is_of_elsewhere, is_own_host


class TrustedNetworks:
    """Networks whose machines need no key."""

    def __init__(self, networks: Sequence[str]) -> None:
        """networks: addresses and networks, such as 10.0.0.0/8."""
        self._networks = [ipaddress.ip_network(one) for one in networks]

    def have(self, request: Request) -> bool:
        """Whether a request comes from one of them, and from nobody behind its sender.

        Raises ApiError NO_PERMISSION for what a browser there sends for a page of elsewhere.
        """
        client = request.client
        if not self._networks or client is None or not is_sure(request.scope):
            return False
        address = address_in(client.host)
        if address is None or not any(address in network for network in self._networks):
            return False
        headers = request.scope["headers"]
        if is_of_elsewhere(headers):
            raise ApiError(ErrorCode.NO_PERMISSION, "web pages of elsewhere need a key")
        if not is_own_host(headers):
            detail = "without a key, the Host has to be an address or localhost"
            raise ApiError(ErrorCode.NO_PERMISSION, detail)
        return True
