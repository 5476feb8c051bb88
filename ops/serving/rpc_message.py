"""The message of a gRPC call: Paddle Serving's `Request`, read within bounds."""

from __future__ import annotations

from dataclasses import dataclass, field

from ops.errors import ErrorKind, ServiceError

# Fields of a request beside its pictures and options: name, method, logid and clientip, and room
# for ones that are not known.
_OTHERS = 32
_KEY, _VALUE, _TENSORS, _NAME = 1, 2, 3, 4
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class MalformedMessageError(ServiceError):
    """Bytes that are no request at all."""

    def __init__(self) -> None:
        super().__init__(ErrorKind.MALFORMED_REQUEST, "The message cannot be read.")


@dataclass
class Message:
    """What is used of a request. name: of the service, or empty. tensors: whether it has any."""

    keys: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)
    name: str = ""
    tensors: bool = False


def read_message(data: bytes, pictures: int) -> Message:
    """A request out of its bytes (protobuf's wire format).

    protobuf itself makes objects of whatever comes: of 64 MB of empty strings several GB, of
    groups in groups a deep stack. Here every field is a step of a loop, the fields are counted,
    and nothing that is not used is unpacked.

    pictures: most in a request.
    Raises MalformedMessageError, and ServiceError(TOO_MANY_PICTURES).
    """
    message = Message()
    left = 2 * (pictures + 1) + _OTHERS
    at, end = 0, len(data)
    while at < end:
        left -= 1
        if left < 0:
            raise ServiceError(
                ErrorKind.TOO_MANY_PICTURES, f"More than {pictures} pictures, or as much else."
            )
        tag, at = _varint(data, at)
        number, kind = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise MalformedMessageError
        start, at = _bounds(data, at, kind)
        if at > end:
            raise MalformedMessageError
        if kind == _BYTES:
            _take(message, number, data, start, at)
    return message


def _bounds(data: bytes, at: int, kind: int) -> tuple[int, int]:
    """Where a field's content begins and ends."""
    if kind == _BYTES:
        size, at = _varint(data, at)
        return at, at + size
    if kind == _VARINT:
        return at, _varint(data, at)[1]
    if kind == _FIXED64:
        return at, at + 8
    if kind == _FIXED32:
        return at, at + 4
    # Groups, which no message here has ever had.
    raise MalformedMessageError


def _take(message: Message, number: int, data: bytes, start: int, end: int) -> None:
    if number == _TENSORS:
        message.tensors = True
    elif number in (_KEY, _VALUE, _NAME):
        try:
            text = str(memoryview(data)[start:end], "utf-8")
        except UnicodeDecodeError:
            raise MalformedMessageError from None
        if number == _KEY:
            message.keys.append(text)
        elif number == _VALUE:
            message.values.append(text)
        else:
            message.name = text


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of up to 64 bits, and where it ends."""
    value = shift = 0
    for place in range(at, min(at + 10, len(data))):
        byte = data[place]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place + 1
        shift += 7
    raise MalformedMessageError
