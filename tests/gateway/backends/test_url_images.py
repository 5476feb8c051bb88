"""Pictures by URL: what is fetched, and what is given up."""

from __future__ import annotations

import asyncio
import shutil
import ssl
import subprocess

import pytest

from gateway.errors import ApiError, ErrorCode
from tests.support.gateway.picture_servers import (
    FILE,
    MOST,
    NAME,
    NOBODY,
    OPEN,
    SOON_S,
    answer,
    images,
    names,
    refusal,
    starting,
    uvloop_backend,
)

pytestmark = pytest.mark.anyio
anyio_backend = pytest.fixture(uvloop_backend)
start = pytest.fixture(starting)


async def test_the_file_at_a_url_is_fetched(start):
    web = await start()
    async with images() as urls:
        assert await urls.fetch(web.url("/a%20b.jpg?size=1#part")) == FILE
    head = web.requests[0]
    assert head.startswith("GET /a%20b.jpg?size=1 HTTP/1.1\r\n")
    assert f"Host: {OPEN}:{web.port}\r\n" in head
    assert "Accept-Encoding: identity\r\n" in head


async def test_a_name_is_asked_for_by_its_name(start):
    web = await start()
    async with images(resolve=names(pictures_example=[[OPEN]])) as urls:
        assert await urls.fetch(web.url(name="pictures.example")) == FILE
    assert f"Host: pictures.example:{web.port}\r\n" in web.requests[0]


async def test_an_international_name_is_looked_up_and_asked_for_in_ascii(start):
    web = await start()
    look_up = names(**{"xn--fiq228c_example": [[OPEN]]})
    async with images(resolve=look_up) as urls:
        assert await urls.fetch(web.url(name="中文.example")) == FILE
    assert look_up.asked == ["xn--fiq228c.example"]
    assert "Host: xn--fiq228c.example:" in web.requests[0]


async def test_the_next_address_is_tried_where_nobody_is_at_one(start):
    web = await start()
    async with images(resolve=names(a_example=[[NOBODY, OPEN]])) as urls:
        assert await urls.fetch(web.url(name="a.example")) == FILE


async def test_proxies_of_the_environment_are_ignored(start, monkeypatch):
    web = await start()
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.3:9")
    async with images() as urls:
        assert await urls.fetch(web.url()) == FILE


async def test_a_body_in_chunks_and_one_until_the_end_are_whole(start):
    chunks = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    web = await start({"/chunks": chunks, "/end": b"HTTP/1.0 200 OK\r\n\r\nabcde"})
    async with images() as urls:
        assert await urls.fetch(web.url("/chunks")) == b"abcde"
        assert await urls.fetch(web.url("/end")) == b"abcde"


async def test_many_are_fetched_but_not_all_at_once(start):
    async def slowly(writer):
        await asyncio.sleep(0.01)
        writer.write(answer())

    web = await start(slowly)
    async with images() as urls:
        files = await asyncio.gather(*(urls.fetch(web.url()) for _ in range(50)))
    assert files == [FILE] * 50
    assert web.most <= 17  # one that is just closing


async def test_cookies_are_not_carried_from_one_fetch_to_the_next(start):
    web = await start(answer(Set_Cookie="a=b; Path=/"))
    async with images() as urls:
        for _ in range(2):
            await urls.fetch(web.url())
    assert "cookie" not in web.requests[1].lower()


@pytest.mark.parametrize("status", ["301 A", "302 A", "303 A", "307 A", "308 A"])
async def test_redirects_are_followed(start, status):
    web = await start(
        {
            "/": answer(b"", status, Location="/a/b"),
            "/a/b": answer(b"", status, Location="../c"),
            "/c": answer(),
        }
    )
    async with images() as urls:
        assert await urls.fetch(web.url()) == FILE


async def test_redirects_end_somewhere(start):
    web = await start(answer(b"", "302 Found", Location="/again"))
    assert await refusal(web.url()) is ErrorCode.URL_FAILED
    assert len(web.requests) == 4
    web.says = answer(b"", "302 Found")  # to nowhere
    assert await refusal(web.url()) is ErrorCode.URL_FAILED


async def test_more_bytes_than_allowed_are_not_read(start):
    async def endless(writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(bytes(10_000))
            await writer.drain()

    web = await start({"/endless": endless, "/long": answer(bytes(MOST + 1)), "/all": answer()})
    for path in ("/endless", "/long"):
        assert await refusal(web.url(path)) is ErrorCode.PICTURE_TOO_LARGE
    async with images(most=len(FILE)) as urls:
        assert await urls.fetch(web.url("/all")) == FILE


async def test_a_length_that_is_too_much_is_refused_without_the_body(start):
    web = await start(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    assert await refusal(web.url()) is ErrorCode.PICTURE_TOO_LARGE


@pytest.mark.parametrize("before", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n\r\nstart"])
async def test_a_server_that_dawdles_is_left(start, before):
    async def slowly(writer):
        writer.write(before)
        while True:
            await writer.drain()
            await asyncio.sleep(0.02)
            writer.write(b"X-A: 1\r\n" if b"\r\n\r\n" not in before else b"x")

    web = await start(slowly)
    assert await refusal(web.url(), timeout_s=0.2) is ErrorCode.URL_FAILED


async def test_a_chain_of_slow_redirects_has_one_time_in_all(start):
    async def slowly(writer):
        await asyncio.sleep(0.15)
        writer.write(answer(b"", "302 Found", Location="/again"))

    web = await start(slowly)
    assert await refusal(web.url(), timeout_s=0.2) is ErrorCode.URL_FAILED
    assert len(web.requests) <= 2


async def test_a_name_server_that_does_not_answer_is_not_waited_for(start):
    async def never(name, port):
        await asyncio.sleep(SOON_S)
        return [OPEN]

    web = await start()
    assert await refusal(web.url(), timeout_s=0.05, resolve=never) is ErrorCode.URL_FAILED
    assert web.requests == []


@pytest.mark.parametrize(
    "says",
    [
        answer(status="204 No Content"),
        answer(status="206 Partial Content"),
        answer(status="304 Not Modified"),
        answer(status="401 Unauthorized"),
        answer(status="404 Not Found"),
        answer(status="500 Internal Server Error"),
        answer(Content_Encoding="gzip"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\ncut off",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: " + b"a" * 500_000 + b"\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.0\r\n",
        b"",
    ],
    ids=lambda says: says[:30].decode().strip() or "nothing",
)
async def test_what_is_no_whole_file_is_refused(start, says):
    web = await start(says)
    assert await refusal(web.url()) is ErrorCode.URL_FAILED


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for pictures.example, signed by itself, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    name = ["-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}"]
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "certificate.pem")]
    subprocess.run([*command.split(), *name, *files], check=True, capture_output=True)
    return folder / "certificate.pem", folder / "key.pem"


async def test_https_asks_by_name_and_checks_the_certificate_for_that_name(start, certificate):
    file, key = certificate
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(file, key)
    asked = []
    tls.sni_callback = lambda _, name, __: asked.append(name)
    web = await start(tls=tls)
    trusting = ssl.create_default_context(cafile=str(file))
    look_up = names(pictures_example=[[OPEN], [OPEN]], other_example=[[OPEN]])
    async with images(resolve=look_up, tls=trusting) as urls:
        assert await urls.fetch(web.url("/", "pictures.example", "https")) == FILE
        # Right after the right one: no connection to the same address may be shared.
        with pytest.raises(ApiError):
            await urls.fetch(web.url("/", "other.example", "https"))
        with pytest.raises(ApiError):
            await urls.fetch(web.url("/", OPEN, "https"))
    assert asked[:2] == ["pictures.example", "other.example"]
    # By default nobody vouches for it.
    url = web.url("/", "pictures.example", "https")
    assert await refusal(url, resolve=look_up, tls=None) is ErrorCode.URL_FAILED
    assert len(web.requests) == 1
