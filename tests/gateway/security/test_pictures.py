"""Odd pictures, and addresses of pictures that lead into the own network."""

from __future__ import annotations

import http.server
import io
import socketserver
import threading
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from PIL import Image

from tests.support import pictures
from tests.support.gateway.client import App, head, new_app, still_there
from tests.support.pictures import base64_of, encode


def animated(form: str) -> bytes:
    frames = [Image.fromarray(np.roll(head(), 8 * number, axis=1)) for number in range(4)]
    out = io.BytesIO()
    frames[0].save(out, form, save_all=True, append_images=frames[1:], duration=50)
    return out.getvalue()


def one_bit_png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("1", (width, height)).save(out, "PNG")
    return out.getvalue()


PICTURES: dict[str, tuple[Callable[[], bytes], set[int]]] = {
    "a hundred megapixels": (lambda: one_bit_png(10_000, 10_000), {222304}),
    "a header of four gigapixels": (
        lambda: pictures.png_header_bomb(65_000, 65_000, 100_000),
        {222304},
    ),
    "cmyk": (lambda: pictures.cmyk_jpeg(head()), {0}),
    "16 bits": (lambda: pictures.png16(head()), {0}),
    "grey": (lambda: encode(head().mean(axis=2).astype(np.uint8), "PNG"), {0}),
    "transparent": (lambda: encode(np.dstack([head(), head()[:, :, 0]]), "PNG"), {0, 222202}),
    "animated gif": (lambda: animated("GIF"), {0}),
    "animated webp": (lambda: animated("WEBP"), {0}),
    "animated png": (lambda: animated("PNG"), {0}),
    "tiff": (lambda: encode(head(), "TIFF"), {0}),
    "heic": (lambda: pictures.heic(head()), {0}),
    "svg": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', {222203}),
    "one pixel": (lambda: encode(np.zeros((1, 1, 3), np.uint8), "PNG"), {222202}),
    "one line": (lambda: encode(np.zeros((1, 5000, 3), np.uint8), "PNG"), {222202}),
    "a png's signature": (lambda: b"\x89PNG\r\n\x1a\n", {222203}),
    "noise in a jpeg": (
        lambda: encode(head())[:2000] + np.random.default_rng(0).bytes(20_000),
        {0, 222202, 222203},
    ),
}


@pytest.mark.parametrize("case", PICTURES)
def test_an_odd_picture_is_read_or_refused(service, case):
    make, numbers = PICTURES[case]
    app = App(service.gateway_url, new_app())
    assert app.code("face/detect", image=base64_of(make()), image_type="BASE64") in numbers
    still_there(service)


@pytest.mark.parametrize(
    ("picture", "said"),
    [
        (base64_of(b"%PDF-1.7 and so on"), "It is a PDF."),
        (base64_of(encode(head())[:3000]), "It ends before its pixels."),
        ("data:image/png,AAAA", "The data: URL does not say that it is base64."),
        ("@@@@", "NOT_BASE64"),
    ],
)
def test_why_a_picture_cannot_be_read_is_told(service, picture, said):
    app = App(service.gateway_url, new_app())
    answer = app.ask("face/detect", image=picture, image_type="BASE64")
    assert answer["error_code"] == 222203
    assert answer["error_msg"].startswith("image check fail")
    assert said in answer.get("error_detail", "") + answer["error_msg"]


def test_a_data_url_in_capitals_is_a_picture(service):
    app = App(service.gateway_url, new_app())
    picture = "DATA:IMAGE/JPEG;CHARSET=UTF-8;BASE64," + base64_of(encode(head()))
    assert app.code("face/detect", image=picture, image_type="BASE64") == 0


class Spy(http.server.BaseHTTPRequestHandler):
    """Counts who comes by."""

    visits: list[str]

    def do_GET(self) -> None:
        self.visits.append(self.path)
        body = encode(head())
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is printed."""


@pytest.fixture(scope="module")
def spy() -> Iterator[tuple[int, list[str]]]:
    """Port and visits of a server of this machine, on the web's own port where that is free."""
    visits: list[str] = []
    handler = type("Handler", (Spy,), {"visits": visits})
    for port in (80, 0):
        try:
            server = socketserver.ThreadingTCPServer(("127.0.0.1", port), handler)
            break
        except OSError:
            continue
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1], visits
    server.shutdown()
    server.server_close()


URLS = [
    "http://127.0.0.1:{port}/x.jpg",
    "http://localhost:{port}/x.jpg",
    "http://LOCALHOST:{port}/x.jpg",
    "http://localhost.:{port}/x.jpg",
    "http://127.1:{port}/x.jpg",
    "http://2130706433:{port}/x.jpg",
    "http://0x7f000001:{port}/x.jpg",
    "http://0177.0.0.1:{port}/x.jpg",
    "http://0.0.0.0:{port}/x.jpg",
    "http://0:{port}/x.jpg",
    "http://[::1]:{port}/x.jpg",
    "http://[::ffff:127.0.0.1]:{port}/x.jpg",
    "http://[64:ff9b::7f00:1]:{port}/x.jpg",
    "http://[fe80::1]/x.jpg",
    "http://[fc00::1]/x.jpg",
    "http://10.0.0.1/x.jpg",
    "http://172.16.0.1/x.jpg",
    "http://192.168.0.1/x.jpg",
    "http://100.64.0.1/x.jpg",
    "http://169.254.169.254/latest/meta-data/",
    "http://224.0.0.1/x.jpg",
    "http://user:secret@127.0.0.1:{port}/x.jpg",
    "http://127.0.0.1:{port}#@example.com/x.jpg",
    "http://example.com@127.0.0.1:{port}/x.jpg",
    "https://127.0.0.1/x.jpg",
    "http://127.0.0.1:22/",
    "file:///etc/passwd",
    "ftp://127.0.0.1/x.jpg",
    "gopher://127.0.0.1:{port}/x",
    "data:image/png;base64,AAAA",
    "//127.0.0.1/x.jpg",
    "http://",
    "http:///x.jpg",
    "http://[::1/x.jpg",
    "http://\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3:{port}/x.jpg",
    "http://a..b/x.jpg",
    "http://" + "a" * 300 + "/x.jpg",
    "http://127.0.0.1/" + "a" * 5000,
    "http://127.0.0.1\r\nhost: x/x.jpg",
]


@pytest.mark.parametrize("url", URLS, ids=lambda url: ascii(url[:32]))
def test_only_public_addresses_are_asked_for_pictures(insider, spy, url):
    port, visits = spy
    answer = insider.ask("face/detect", image=url.format(port=port), image_type="URL")
    assert answer["error_code"] == 222204
    assert "127.0.0.1" not in answer["error_msg"]
    assert visits == []
