"""Web pages of elsewhere: what a browser on this machine sends for them is told from other calls.

Without keys, whoever reaches a port may do everything, which only programs of this machine do. A
browser is one, and sends what any page asks it to. It says for which page (RFC 6454), and other
programs say nothing of the kind. A page whose own name was made to mean this machine (DNS
rebinding) is known by that name: the name of a machine may be in anybody's hand, `localhost` and
numbers are not.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable

Headers = Iterable[tuple[bytes, bytes]]

# Not of a user's name, a path or a query: a Host has none of them (RFC 9110, 7.2).
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(:[0-9]{0,5})?")


def is_of_elsewhere(headers: Headers) -> bool:
    """Whether a browser sends the request for a page that is not this port's own."""
    sites = _values(headers, b"sec-fetch-site")
    if any(site not in ("same-origin", "none") for site in sites):
        return True
    origins = _values(headers, b"origin")
    if not origins:
        return False
    hosts = _values(headers, b"host")
    pages = {origin.partition("://")[2].lower() for origin in origins}
    return pages != {host.lower() for host in hosts} or not is_own_host(headers)


def is_own_host(headers: Headers) -> bool:
    """Whether the one Host is an address or localhost, or there is none, as in HTTP/1.0."""
    hosts = _values(headers, b"host")
    if len(hosts) != 1:
        return not hosts
    match = _HOST.fullmatch(hosts[0].lower())
    if match is None:
        return False
    name = match[1].strip("[]")
    try:
        ipaddress.ip_address(name)
    except ValueError:
        name = name[:-1] if name.endswith(".") else name
        return name == "localhost" or name.endswith(".localhost")
    return True


def _values(headers: Headers, name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in headers if key == name]
