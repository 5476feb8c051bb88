"""Pictures by URL: what is fetched, and what nobody may make this machine fetch."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
import subprocess
from contextlib import asynccontextmanager

import pytest

from gateway.errors import ApiError, ErrorCode
from gateway.url_images import UrlImages, is_public, resolve

pytestmark = pytest.mark.anyio

MOST = 100_000
FILE = b"\xff\xd8 a file \xff\xd9" * 100
# The servers of these tests are on 127.0.0.1, the ones that must not be asked on 127.0.0.2.
NAME = "pictures.example"
OPEN, PRIVATE, NOBODY = "127.0.0.1", "127.0.0.2", "127.0.0.3"
SOON_S = 20
# The words for an address that is refused: by what it is, by its spelling, and where the machine
# does not know of IPv6.
REASONS = ("not a public address", "InvalidURL", "gaierror")
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # saves reading the authorities in every test


@pytest.fixture
def anyio_backend():
    """As in production."""
    return "asyncio", {"use_uvloop": True}


def answer(body=FILE, status="200 OK", **headers):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Web:
    """A server. says: what it answers, bytes for all paths or one for each."""

    def __init__(self, says=None):
        self.says = says if says is not None else answer()
        self.requests = []
        self.connections = 0
        self.most = 0

    async def start(self, address=OPEN, port=0, tls=None):
        self.server = await asyncio.start_server(self._serve, address, port, ssl=tls)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def url(self, path="/", name=OPEN, scheme="http"):
        return f"{scheme}://{name}:{self.port}{path}"

    async def _serve(self, reader, writer):
        self.connections += 1
        self.most = max(self.most, self.connections)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.requests.append(head)
            says = self.says
            if isinstance(says, dict):
                says = says[head.split(" ")[1]]
            if callable(says):
                await says(writer)
            else:
                writer.write(says)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass  # who asked is gone
        finally:
            self.connections -= 1
            writer.close()


@pytest.fixture
async def start():
    """Start servers; all are gone when the test ends."""
    made = []

    async def make(says=None, **where):
        made.append(await Web(says).start(**where))
        return made[-1]

    yield make
    for one in made:
        one.server.close()


def is_open(address, port):
    return address in (OPEN, NOBODY)


def names(**known):
    """A resolver for these names, `_` for a dot; each has its answers one after the other."""
    answers = {name.replace("_", "."): list(lists) for name, lists in known.items()}
    asked = []

    async def look_up(name, port):
        asked.append(name)
        if name not in answers:
            return await resolve(name, port)
        return answers[name].pop(0)

    look_up.asked = asked
    return look_up


@asynccontextmanager
async def images(timeout_s=SOON_S, most=MOST, is_allowed=is_open, tls=NO_TLS, **options):
    made = UrlImages(timeout_s, most, is_allowed, tls=tls, **options)
    yield made
    await made.close()


async def refusal(url, **options):
    """The error for a URL, which never says why."""
    async with images(**options) as urls:
        with pytest.raises(ApiError) as caught:
            await urls.fetch(url)
    assert caught.value.detail == ""
    return caught.value.kind


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


@pytest.mark.parametrize(
    "url",
    [
        "",
        "no URL",
        "/a.jpg",
        "//a.example/a.jpg",
        "http://",
        "http:///a.jpg",
        "file:///etc/passwd",
        "ftp://a.example/a.jpg",
        "gopher://a.example/",
        "data:image/png;base64,AAAA",
        "javascript:alert(1)",
        "http://user:password@127.0.0.1/",
        "http://[::1",
        "http://127.0.0.1:port/",
        "http://127.0.0.1:99999999/",
        "http://\ud800/",
        "http://a\x00.example/",
        f"http://{'a' * 300}.example/",
        "http://127.0.0.1/" + "a" * 3000,
        "http://no-such-name.invalid/",
    ],
)
async def test_what_is_no_plain_url_of_the_web_is_not_fetched(url):
    assert await refusal(url) is ErrorCode.URL_FAILED


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost.",
        "127.0.0.1",
        "127.0.0.53",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "100.64.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        # The same in other spellings.
        "2130706433",
        "0x7f000001",
        "017700000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "2852039166",
        "[::]",
        "[::1]",
        "[::127.0.0.1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::1]",
        "[2001:0:4136:e378:8000:63bf:3fff:fdd2]",
        "[fc00::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "[ff02::1]",
        "[2001:db8::1]",
    ],
)
async def test_addresses_that_only_this_machine_can_reach_are_not_asked(host, caplog):
    urls = UrlImages(SOON_S, MOST, tls=NO_TLS)
    for scheme in ("http", "https"):
        caplog.clear()
        with (
            caplog.at_level(logging.INFO, "gateway.url_images"),
            pytest.raises(ApiError) as caught,
        ):
            await urls.fetch(f"{scheme}://{host}/")
        assert caught.value.kind is ErrorCode.URL_FAILED
        (record,) = caplog.records
        assert record.message.endswith(REASONS)
    await urls.close()


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "2606:4700:4700::1111",
        "64:ff9b::808:808",
        "::ffff:8.8.8.8",
        "2002:808:808::1",
    ],
)
def test_public_addresses_may_be_asked_at_the_ports_of_the_web_only(address):
    assert is_public(address, 80)
    assert is_public(address, 443)
    assert not any(is_public(address, port) for port in (0, 22, 25, 6379, 8080, 8443))


@pytest.mark.parametrize("address", ["", "localhost", "fe80::1%lo", "2606:4700::1%lo", "8.8.8.8/8"])
def test_what_is_no_address_may_not_be_asked(address):
    assert not is_public(address, 80)


async def test_another_port_than_the_webs_is_not_asked(start):
    web = await start()
    urls = UrlImages(SOON_S, MOST, resolve=names(a_example=[["8.8.8.8"]]), tls=NO_TLS)
    with pytest.raises(ApiError):
        await urls.fetch(web.url(name="a.example"))
    await urls.close()
    assert web.requests == []


async def test_one_private_address_among_public_ones_is_enough_for_a_refusal(start):
    web = await start()
    for addresses in ([OPEN, PRIVATE], [PRIVATE, OPEN], [OPEN] * 10 + [PRIVATE], []):
        look_up = names(a_example=[addresses])
        assert await refusal(web.url(name="a.example"), resolve=look_up) is ErrorCode.URL_FAILED
    assert web.requests == []


async def test_a_name_that_turns_private_after_the_check_does_not_lead_there(start):
    web = await start()
    private = await start(address=PRIVATE, port=web.port)
    look_up = names(a_example=[[OPEN], [PRIVATE]])
    async with images(resolve=look_up) as urls:
        assert await urls.fetch(web.url(name="a.example")) == FILE
        assert look_up.asked == ["a.example"]
        with pytest.raises(ApiError):
            await urls.fetch(web.url(name="a.example"))
    assert private.requests == []


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


async def test_a_redirect_to_a_private_address_is_not_followed(start):
    private = await start(address=PRIVATE)
    places = [
        private.url(name=PRIVATE),
        private.url(name="2130706434"),
        private.url(name="turned.example"),
        f"//{PRIVATE}:{private.port}/",
        "file:///etc/passwd",
        "ftp://127.0.0.1/",
        "http://user@127.0.0.1/",
    ]
    for place in places:
        web = await start(answer(b"", "302 Found", Location=place))
        look_up = names(turned_example=[[PRIVATE]])
        assert await refusal(web.url(), resolve=look_up) is ErrorCode.URL_FAILED
    assert private.requests == []


async def test_a_name_is_checked_anew_for_every_redirect(start):
    web = await start()
    private = await start(address=PRIVATE, port=web.port)
    web.says = answer(b"", "302 Found", Location=web.url("/there", "a.example"))
    look_up = names(a_example=[[OPEN], [PRIVATE]])
    url = web.url(name="a.example")
    assert await refusal(url, resolve=look_up) is ErrorCode.URL_FAILED
    assert private.requests == []


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
