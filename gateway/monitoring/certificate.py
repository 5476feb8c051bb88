"""When the certificate ends that a proxy shows to the gateway's clients."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
from datetime import UTC, datetime

# ASN.1's tags (X.690) of what stands in a certificate up to its dates.
_SEQUENCE, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0xA0, 0x17, 0x18
_LONG = 0x80  # a length of more than 127 says first how many bytes tell it


class CertificateError(ValueError):
    """What was shown is no certificate."""


async def expiry_of(address: str, timeout: float) -> float:
    """When the certificate ends that is shown at HOST:PORT, in seconds since 1970.

    Nobody is trusted for what it says: an expired one, or one of an authority that this machine
    does not know, is looked at like any other. timeout: seconds.
    Raises OSError, TimeoutError, CertificateError.
    """
    async with asyncio.timeout(timeout):
        return not_after(await _shown_at(address))


async def _shown_at(address: str) -> bytes:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    name = None if _is_ip(host) else host
    _, writer = await asyncio.open_connection(
        host, int(port), ssl=context, server_hostname=name or ""
    )
    try:
        tls: ssl.SSLObject = writer.get_extra_info("ssl_object")
        return tls.getpeercert(binary_form=True) or b""
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), 1.0)


def not_after(certificate: bytes) -> float:
    """The end of a certificate in DER (RFC 5280, 4.1), in seconds since 1970.

    Raises CertificateError.
    """
    try:
        inner = _content(_content(certificate, _SEQUENCE)[0], _SEQUENCE)[0]
        if inner[0] == _VERSION:
            inner = _content(inner, _VERSION)[1]
        for _ in ("serial number", "signature", "issuer"):
            inner = _content(inner, inner[0])[1]
        dates = _content(inner, _SEQUENCE)[0]
        end = _content(dates, dates[0])[1]
        return _time(end[0], _content(end, end[0])[0].decode("ascii"))
    except (IndexError, ValueError) as error:
        raise CertificateError("not a certificate") from error


def _content(data: bytes, tag: int) -> tuple[bytes, bytes]:
    """What stands in the value at the start, and what follows it. Raises ValueError, IndexError."""
    if data[0] != tag:
        raise ValueError(f"tag {data[0]:#x} in place of {tag:#x}")
    length, start = data[1], 2
    if length >= _LONG:
        start += length - _LONG
        length = int.from_bytes(data[2:start], "big")
    if start + length > len(data):
        raise ValueError("it is cut off")
    return data[start : start + length], data[start + length :]


def _time(tag: int, text: str) -> float:
    if tag == _UTC_TIME:  # of the years 1950 to 2049
        text = ("19" if text[:2] >= "50" else "20") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError(f"tag {tag:#x} is no time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
