"""Which addresses are of the public internet: all others may be this machine's or a neighbour's."""

from __future__ import annotations

import ipaddress

PORTS = {"http": 80, "https": 443}

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# Written out, since what `ipaddress` knows differs from Python to Python.
_NOT_PUBLIC = tuple(
    ipaddress.ip_network(network)
    for network in (
        # IANA's registry of special-purpose IPv4 addresses (RFC 6890), those that are reachable
        # everywhere included: behind none of them is a server of the web.
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # behind a provider's NAT; 100.100.100.200 is Alibaba Cloud's metadata
        "127.0.0.0/8",  # this machine
        "169.254.0.0/16",  # this link; 169.254.169.254 is most clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocols; 192.0.0.192 is Oracle Cloud's metadata
        "192.0.2.0/24",  # examples
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # examples
        "203.0.113.0/24",  # examples
        "224.0.0.0/4",  # groups
        "240.0.0.0/4",  # reserved, and the broadcast
        # Of clouds, reached from within them only.
        "168.63.129.16/32",  # Azure's wire server
        "161.26.0.0/16",  # IBM Cloud's services
        "166.8.0.0/14",
        # Of IPv6 only what is given out (2000::/3) is looked at further: not ::1, ::/96, fc00::/7
        # with fd00:ec2::254, fe80::/10, fec0::/10, ff00::/8, 100::/64, 5f00::/16, 64:ff9b:1::/48.
        "2001::/23",  # protocols: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # examples
        "2002::/16",  # 6to4, which packs any IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # examples
    )
)
_GIVEN_OUT = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# The upper half of an ISATAP interface's number, its two lowest bits of the first byte aside; an
# IPv4 address follows (RFC 5214, 6.1).
_ISATAP = 0x00005EFE
_ISATAP_FLAGS = 0x03000000


def is_public(address: str, port: int) -> bool:
    """Whether a server at this address and port may be asked: on the internet, and of the web."""
    if port not in PORTS.values():
        return False
    try:
        return _is_global(ipaddress.ip_address(address))
    except ValueError:
        return False


def _is_global(address: _Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id:
            return False
        inner = _inner(address)
        if inner is not None:
            return _is_global(inner)
        if address not in _GIVEN_OUT or _is_isatap(address):
            return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


def _inner(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that packets to this one really go to: mapped, or through NAT64.

    The latter is how a machine without IPv4 sees all servers that have nothing else.
    """
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped


def _is_isatap(address: ipaddress.IPv6Address) -> bool:
    upper = int(address) >> 32 & 0xFFFFFFFF
    return upper & ~_ISATAP_FLAGS == _ISATAP
