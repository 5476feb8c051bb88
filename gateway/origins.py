"""Web pages of elsewhere: what a browser on this machine sends for them is told from other calls.

Without keys, whoever reaches the gateway may do everything, which only programs of this machine
do. A browser is one, and sends what any page asks it to. It says for which page (RFC 6454), and
other programs say nothing of the kind.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.requests import Request


def is_of_elsewhere(request: Request) -> bool:
    """Whether a browser sends the request for a page that is not the gateway's own.

    That is also one whose own name was made to mean this machine: the name of a machine may be in
    anybody's hand, `localhost` and numbers are not.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return True
    origin = request.headers.get("origin")
    if origin is None:
        return False
    host = request.headers.get("host", "")
    page = origin.partition("://")[2]
    return page.lower() != host.lower() or not _is_own_name(host)


def _is_own_name(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    return True
