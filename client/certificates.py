"""Which certificates a client believes."""

from __future__ import annotations

import ssl

import httpx


def verification(url: httpx.URL) -> ssl.SSLContext | bool:
    """The argument `verify` of a client of httpx for this address, which follows no redirection.

    At http:// no certificate is ever seen; httpx would read its whole list of authorities all the
    same, which takes longer than a search. There, none is believed.
    """
    return True if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
