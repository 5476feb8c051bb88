"""Bodies and senders that are made to stop a service: makers give bytes, senders a socket's fate.

A maker takes the size that the body is to have, in bytes, and gives the body with its content type.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

Body = tuple[str, bytes]

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
# A part's start, up to its content.
PART = b'--b\r\ncontent-disposition: form-data; name="image1"; filename="x"\r\n'
END = b"\r\n--b--\r\n"


def _filled(start: bytes, piece: bytes, end: bytes, size: int) -> bytes:
    """`start`, as many pieces as fit, `end`."""
    count = (size - len(start) - len(end)) // len(piece)
    return start + piece * count + end


# JSON: what it makes in memory is many times what is sent.


def empty_arrays(size: int) -> Body:
    return JSON, _filled(b'{"a": [', b"[],", b"0]}", size)


def bare_empty_arrays(size: int) -> Body:
    return JSON, _filled(b"[", b"[],", b"0]", size)


def empty_objects(size: int) -> Body:
    return JSON, _filled(b'{"key": [', b"{},", b'0], "value": []}', size)


def empty_texts(size: int) -> Body:
    return JSON, _filled(b'{"key": [', b'"",', b'""], "value": []}', size)


def many_keys(size: int) -> Body:
    # A million different ones are made quickly.
    keys = b"".join(b'"%05x":0,' % number for number in range(0x100000))
    return JSON, _filled(b"{", keys[: size // 2], b'"z":0}', size)


def same_keys(size: int) -> Body:
    return JSON, _filled(b"{", b'"a":0,', b'"a":0}', size)


def deep_arrays(size: int) -> Body:
    return JSON, b"[" * (size // 2) + b"]" * (size // 2)


def unclosed_arrays(size: int) -> Body:
    return JSON, b"[" * size


def huge_number(size: int) -> Body:
    return JSON, _filled(b'{"max_face_num": ', b"7", b"}", size)


def huge_fraction(size: int) -> Body:
    return JSON, _filled(b'{"max_face_num": 0.', b"7", b"e-5}", size)


def escapes(size: int) -> Body:
    return JSON, _filled(b'{"image_type": "BASE64", "image": "', b"\\u0041", b'"}', size)


def wide_text(size: int) -> Body:
    """One character that makes all others four bytes wide."""
    start = '{"image_type": "BASE64", "junk": "\U0001f600'.encode()
    return JSON, _filled(start, b"A", b'", "image": "AAAA"}', size)


def wide_key(size: int) -> Body:
    return JSON, _filled('{"\U0001f600'.encode(), b"A", b'": 0}', size)


def long_type(size: int) -> Body:
    """A text where a word belongs, which grows when it is written in capitals."""
    return JSON, _filled(b'{"image": "AAAA", "image_type": "', "\u0390".encode(), b'"}', size)


def blanks(size: int) -> Body:
    return JSON, _filled(b"", b" ", b"{}", size)


# Forms.


def form_of_fields(size: int) -> Body:
    return FORM, _filled(b"a=b", b"&a=b", b"", size)


def form_of_ampersands(size: int) -> Body:
    return FORM, b"&" * size


def form_of_escapes(size: int) -> Body:
    return FORM, _filled(b"image_type=BASE64&image=", b"%41", b"", size)


def form_of_half_escapes(size: int) -> Body:
    return FORM, _filled(b"image_type=BASE64&image=", b"%", b"", size)


def form_of_wide_text(size: int) -> Body:
    return FORM, _filled(b"image_type=BASE64&image=%F0%9F%98%80", b"A", b"", size)


def form_of_commas(size: int) -> Body:
    """A list of ten million fields of a face, all of them empty."""
    return FORM, _filled(b"image=AAAA&image_type=BASE64&face_field=", b",", b"", size)


def form_of_array(size: int) -> Body:
    content = bare_empty_arrays(size)[1]
    return FORM, content


# Multipart forms.


def long_preamble(size: int) -> Body:
    return MULTIPART, _filled(b"", b"\r\n-", b"\r\n" + PART + b"\r\nx" + END, size)


def preamble_of_breaks(size: int) -> Body:
    return MULTIPART, _filled(b"", b"\r\n", PART + b"\r\nx" + END, size)


def preamble_of_returns(size: int) -> Body:
    return MULTIPART, b"\r" * size


def long_epilogue(size: int) -> Body:
    return MULTIPART, _filled(PART + b"\r\nx" + END, b"\r\n-", b"", size)


def epilogue_of_parts(size: int) -> Body:
    return MULTIPART, _filled(PART + b"\r\nx" + END, PART + b"\r\nx\r\n", b"", size)


def tiny_parts(size: int) -> Body:
    part = b'--b\r\ncontent-disposition: form-data; name="f"\r\n\r\n\r\n'
    return MULTIPART, _filled(b"", part, b"--b--\r\n", size)


def headless_parts(size: int) -> Body:
    return MULTIPART, _filled(b"", b"--b\r\n\r\n\r\n", b"--b--\r\n", size)


def many_headers(size: int) -> Body:
    return MULTIPART, _filled(PART, b"x: y\r\n", b"\r\nx" + END, size)


def huge_header(size: int) -> Body:
    return MULTIPART, _filled(PART + b"x: ", b"y", b"\r\n\r\nx" + END, size)


def header_without_end(size: int) -> Body:
    return MULTIPART, _filled(PART + b"x: ", b"y", b"", size)


def header_name_without_end(size: int) -> Body:
    return MULTIPART, _filled(PART, b"y", b"", size)


def folded_header(size: int) -> Body:
    return MULTIPART, _filled(PART + b"x: y\r\n", b" \r\n", b"\r\nx" + END, size)


def continued_name(size: int) -> Body:
    """A file's name in as many pieces as fit: RFC 2231, 3."""
    pieces = b"".join(b"; filename*%d*=a" % number for number in range(size // 20))
    start = b'--b\r\ncontent-disposition: form-data; name="image1"'
    return MULTIPART, start + pieces + b"\r\n\r\nx" + END


def half_quoted_options(size: int) -> Body:
    """In each header as many quotes as fit, none of them closed."""
    line = b'content-disposition: form-data; name="x"' + b'; a="' * 400 + b"\r\n"
    return MULTIPART, _filled(b"", b"--b\r\n" + line * 8 + b"\r\nx\r\n", b"--b--\r\n", size)


def almost_boundaries(size: int) -> Body:
    return MULTIPART, _filled(PART + b"\r\n", b"\r\n--", END, size)


def false_boundaries(size: int) -> Body:
    return MULTIPART, _filled(PART + b"\r\n", b"\r\n--bb", END, size)


def content_of_returns(size: int) -> Body:
    return MULTIPART, _filled(PART + b"\r\n", b"\r", END, size)


def content_of_breaks(size: int) -> Body:
    return MULTIPART, _filled(PART + b"\r\n", b"\r\n", END, size)


def content_of_dashes(size: int) -> Body:
    """Behind a boundary that is made of the same."""
    boundary = b"-" * 34 + b"b" + b"-" * 35
    part = b'--%b\r\ncontent-disposition: form-data; name="image1"\r\n\r\n' % boundary
    kind = f"multipart/form-data; boundary={boundary.decode()}"
    return kind, _filled(part, b"-", b"\r\n--%b--\r\n" % boundary, size)


def long_boundary(size: int) -> Body:
    boundary = b"-" * 5000
    part = b'--%b\r\ncontent-disposition: form-data; name="image1"\r\n\r\n' % boundary
    kind = f"multipart/form-data; boundary={boundary.decode()}"
    return kind, _filled(part, b"-", b"\r\n--%b--\r\n" % boundary, size)


def part_without_end(size: int) -> Body:
    return MULTIPART, _filled(PART + b"\r\n", b"\0", b"", size)


def nested_multipart(size: int) -> Body:
    inner = b"content-type: multipart/mixed; boundary=c\r\n\r\n"
    part = b'--c\r\ncontent-disposition: file; filename="x"\r\n\r\nx\r\n'
    return MULTIPART, _filled(PART + inner, part, b"--c--" + END, size)


def packed_part(size: int) -> Body:
    """What says of itself that it is base64, and is none."""
    start = PART + b"content-transfer-encoding: base64\r\n\r\n"
    return MULTIPART, _filled(start, b"=", END, size)


def text_of_another_charset(size: int) -> Body:
    start = b'--b\r\ncontent-disposition: form-data; name="image"\r\ncontent-type: text/plain; '
    return MULTIPART, _filled(start + b"charset=utf-7\r\n\r\n", b"+", END, size)


MAKERS: dict[str, Callable[[int], Body]] = {
    make.__name__: make
    for make in (
        empty_arrays, bare_empty_arrays, empty_objects, empty_texts, many_keys, same_keys,
        deep_arrays, unclosed_arrays, huge_number, huge_fraction, escapes, wide_text, wide_key,
        long_type, blanks, form_of_fields, form_of_ampersands, form_of_escapes,
        form_of_half_escapes, form_of_wide_text, form_of_commas, form_of_array, long_preamble,
        preamble_of_breaks, preamble_of_returns, long_epilogue, epilogue_of_parts, tiny_parts,
        headless_parts, many_headers, huge_header, header_without_end, header_name_without_end,
        folded_header, continued_name, half_quoted_options, almost_boundaries, false_boundaries,
        content_of_returns, content_of_breaks, content_of_dashes, long_boundary, part_without_end,
        nested_multipart, packed_part, text_of_another_charset,
    )
}  # fmt: skip


# Senders. address: host and port. head: a request's head without its last, empty line.


def head_of(path: str, *headers: str, host: str = "127.0.0.1") -> bytes:
    """The head of a POST."""
    lines = [f"POST {path} HTTP/1.1", f"host: {host}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n"


@contextmanager
def stalled_uploads(
    address: tuple[str, int], count: int, head: bytes, start: bytes, size: int
) -> Iterator[list[socket.socket]]:
    """Connections that say they send `size` bytes, send `start`, and no more."""
    with ExitStack() as stack:
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.create_connection(address, timeout=60))
            with suppress(ConnectionError):  # those that are refused are hung up on
                client.sendall(head + b"content-length: %d\r\n\r\n" % size + start)
            clients.append(client)
        yield clients


def send_tiny_chunks(address: tuple[str, int], head: bytes, count: int) -> bytes:
    """Send a body of so many chunks of one byte; what is answered, b"" where it is cut off."""
    chunks = b"1\r\n \r\n" * 10_000
    with socket.create_connection(address, timeout=60) as client:
        try:
            client.sendall(head + b"transfer-encoding: chunked\r\n\r\n")
            for _ in range(count // 10_000):
                client.sendall(chunks)
            client.sendall(b"2\r\n{}\r\n0\r\n\r\n")
            return client.recv(65536)
        except ConnectionError:
            return b""
