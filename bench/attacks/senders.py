"""Every attack by its name; one is sent by ``python -m bench.attacks.senders NAME``.

It reads one line with the fields of `Target` as JSON from standard input, sends the attack once and
ends with it. Each attack is bounded in count and time by itself. What the service answers is not
looked at: tests do that.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import httpx

from bench.attacks import bodies, calls, containers, pictures
from bench.attacks.clients import Target
from runtime.process import die_with_parent

TIMEOUT_S = 60.0
# As large as each port takes them by default.
_GATEWAY_BYTES, _PIPELINE_BYTES = 31_000_000, 64_000_000
_DETECT = "/face-api/v3/face/detect"
_HOLD_S = 3.0

Send = Callable[[Target], None]


def _post(url: str, kind: str, body: bytes) -> None:
    with contextlib.suppress(httpx.HTTPError):  # it may hang up
        httpx.post(
            url, content=body, headers={"content-type": kind}, timeout=TIMEOUT_S, trust_env=False
        )


def _pictures(make: Callable[[], bytes], count: int, target: Target) -> None:
    """So many of a picture in one request."""
    images = [base64.b64encode(make()).decode("ascii")] * count
    keys = ["image"] * count
    _post(target.url, bodies.JSON, json.dumps({"key": keys, "value": images}).encode())


def _gateway_body(make: Callable[[int], bodies.Body], target: Target) -> None:
    _post(target.gateway + _DETECT, *make(_GATEWAY_BYTES))


def _pipeline_body(make: Callable[[int], bodies.Body], target: Target) -> None:
    _post(target.url, *make(_PIPELINE_BYTES))


def _tiny_chunks(target: Target) -> None:
    head = bodies.head_of(_DETECT, f"content-type: {bodies.JSON}")
    bodies.send_tiny_chunks(_place(target.gateway), head, 1_000_000)


def _stalled(target: Target) -> None:
    head = bodies.head_of(_DETECT, f"content-type: {bodies.JSON}")
    with bodies.stalled_uploads(_place(target.gateway), 300, head, b"{", 1_000_000):
        time.sleep(_HOLD_S)


def _calls(send: Callable[[int], Any], target: Target) -> None:
    """What is sent to the port of gRPC."""
    send(int(target.address.rpartition(":")[2]))


def _held(hold: Callable[[int], AbstractContextManager[Any]], target: Target) -> None:
    with hold(int(target.address.rpartition(":")[2])):
        time.sleep(_HOLD_S)


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "127.0.0.1", parts.port or 80


_PICTURES: dict[str, Callable[[], bytes]] = {
    "JPEG of 6,000 scans": partial(pictures.jpeg_of_many_scans, 6000),
    "JPEG of 100 scans": partial(pictures.jpeg_of_many_scans, 100, 7000, 7000),
    "JPEG of 3 million markers": partial(pictures.jpeg_of_many_markers, 3_000_000),
    "PNG of a million chunks": partial(pictures.png_of_many_chunks, 1_000_000),
    "PNG in seven passes": partial(pictures.png_of_random_pixels, 2000, 2000, True),
    "WebP of 49 megapixels in 38 bytes": pictures.webp_of_one_colour,
    "lossless WebP of 50 megapixels": partial(pictures.lossless_webp, 7000, 7000),
    "BMP of single runs": partial(pictures.bmp_of_many_runs, 2600, 2600),
    "GIF of a million comments": partial(containers.gif_of_many_extensions, 1_000_000),
    "GIF of blocks of a byte": partial(containers.gif_of_short_blocks, 6_000_000),
    "TIFF of a million strips": partial(containers.tiff_of_many_strips, 1_000_000),
    "TIFF of 49 megapixels in 48 KB": partial(containers.grey_tiff, 7000, 7000),
    "TIFF of one strip for all": partial(containers.tiff_of_one_strip_for_all, 40_000, 100_000),
    "HEIC of 60,000 tiles": partial(containers.heif_grid, b"hvc1", (640, 480), (64, 64), 60_000),
    "AVIF of 49 megapixels": partial(pictures.flat_avif, 7000, 7000),
}
# Those that took longest or most memory; all others are in the tests.
_BODIES = (
    bodies.empty_arrays,
    bodies.escapes,
    bodies.wide_text,
    bodies.form_of_array,
    bodies.form_of_wide_text,
    bodies.long_preamble,
    bodies.tiny_parts,
    bodies.many_headers,
    bodies.header_without_end,
    bodies.content_of_returns,
)
_CALLS = (
    calls.rapid_reset,
    calls.streams_flood,
    calls.ping_flood,
    calls.settings_flood,
    calls.window_update_flood,
    calls.empty_data_flood,
    calls.continuation_flood,
    calls.header_bomb,
    calls.churn,
    calls.gzip_bomb,
)
_HELD_CALLS = (
    calls.calls_without_message,
    calls.half_messages,
    calls.unfinished_messages,
    calls.silent_connections,
)
_PIPELINE_BODIES = (bodies.empty_arrays, bodies.empty_texts, bodies.wide_text)


def _named(make: Callable[..., Any]) -> str:
    return make.__name__.replace("_", " ")


ATTACKS: dict[str, Send] = {
    **{name: partial(_pictures, make, 1) for name, make in _PICTURES.items()},
    "16 WebPs of 49 megapixels": partial(_pictures, pictures.webp_of_one_colour, 16),
    **{f"REST: {_named(make)}": partial(_gateway_body, make) for make in _BODIES},
    "REST: chunks of a byte": _tiny_chunks,
    "REST: 300 stalled uploads": _stalled,
    **{f"HTTP: {_named(make)}": partial(_pipeline_body, make) for make in _PIPELINE_BODIES},
    **{f"gRPC: {_named(send)}": partial(_calls, send) for send in _CALLS},
    **{f"gRPC: {_named(hold)}": partial(_held, hold) for hold in _HELD_CALLS},
}


if __name__ == "__main__":
    die_with_parent()
    ATTACKS[sys.argv[1]](Target(**json.loads(sys.stdin.readline())))
