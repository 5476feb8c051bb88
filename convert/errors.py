"""What can go wrong while a model is fetched and converted."""

from __future__ import annotations


class ConvertError(Exception):
    """A conversion that cannot go on; the message is one line that says what to do."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class UnreachableError(ConvertError):
    """A source that gives no answer: no network, no such host, or an error from the host."""


class MissingError(UnreachableError):
    """A host that answers, but not with the file."""


class BusyError(ConvertError):
    """Another conversion is at work in the same directory."""


class IntegrityError(ConvertError):
    """Bytes that are not the ones the catalog promises."""


class VerificationError(ConvertError):
    """A converted model that does not do what its task asks for."""
