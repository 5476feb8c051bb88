"""What can go wrong between a client and the service, each with the code it is counted under."""

from __future__ import annotations

import re


class ClientError(Exception):
    """A request that got no usable answer.

    code: short and stable, what a summary counts by: the service's ``err_no`` or HTTP status as
        text, a gRPC status name, or one of this module's words.
    message: one sentence for a person.
    """

    def __init__(self, code: str, message: str):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class UnreachableError(ClientError):
    """Nothing listens at the address: no other request would fare better."""

    def __init__(self, message: str):
        super().__init__("unreachable", message)


class ServiceTimeoutError(ClientError):
    """The client's own time-out passed before the answer came."""

    def __init__(self, seconds: float):
        super().__init__("timeout", f"no answer within {seconds:g} s")


class ConnectionLostError(ClientError):
    """The connection broke while the request was under way."""

    def __init__(self, message: str):
        super().__init__("connection-lost", message)


class MalformedAnswerError(ClientError):
    """The answer is not what the wire format says."""

    def __init__(self, message: str):
        super().__init__("malformed", message)


class UnreadableError(ClientError):
    """The picture could not be read from disk, so it was not sent."""

    def __init__(self, message: str):
        super().__init__("unreadable", message)


def numbered(details: str) -> tuple[int, str] | None:
    """The service's number and sentence in the details of a status, ``3003 BUSY: ...``.

    None where there is none: the refusal is not the service's own.
    """
    found = re.match(r"(\d{4}) (.+)", details, re.DOTALL)
    return (int(found.group(1)), found.group(2)) if found else None


def refusal(status: str, details: str) -> ClientError:
    """The error behind a gRPC or HTTP status that is not OK.

    The service's own number is the same over both ways, and so is preferred to ``status``, the
    transport's word for it.
    """
    told = numbered(details)
    if told is not None:
        return ClientError(str(told[0]), told[1])
    return ClientError(status, details or "the service gave no reason")
