"""What nobody may make this machine fetch."""

from __future__ import annotations

import ipaddress
import logging

import pytest

from gateway.backends import public_addresses
from gateway.backends.public_addresses import is_public
from gateway.backends.url_images import UrlImages
from gateway.errors import ApiError, ErrorCode
from tests.support.gateway.picture_servers import (
    FILE,
    MOST,
    NO_TLS,
    OPEN,
    PRIVATE,
    REASONS,
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
            caplog.at_level(logging.INFO, "gateway.backends.url_images"),
            pytest.raises(ApiError) as caught,
        ):
            await urls.fetch(f"{scheme}://{host}/")
        assert caught.value.kind is ErrorCode.URL_FAILED
        (record,) = (one for one in caplog.records if one.name == "gateway.backends.url_images")
        assert record.message.endswith(REASONS)
    await urls.close()


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "2606:4700:4700::1111",
        "64:ff9b::808:808",
        "::ffff:8.8.8.8",
        "1.1.1.1",
        "93.184.216.34",
        "168.63.129.17",
        "100.63.255.255",
        "100.128.0.1",
        "172.32.0.1",
        "192.0.1.1",
        "198.17.255.255",
        "198.20.0.1",
        "223.255.255.255",
        "2001:200::1",
        "2001:4860:4860::8888",
        "2003::1",
        "2a00:1450:4001::200e",
    ],
)
def test_public_addresses_may_be_asked_at_the_ports_of_the_web_only(address):
    assert is_public(address, 80)
    assert is_public(address, 443)
    assert not any(is_public(address, port) for port in (0, 22, 25, 6379, 8080, 8443))


@pytest.mark.parametrize("address", ["", "localhost", "fe80::1%lo", "2606:4700::1%lo", "8.8.8.8/8"])
def test_what_is_no_address_may_not_be_asked(address):
    assert not is_public(address, 80)


@pytest.mark.attack
@pytest.mark.parametrize("network", public_addresses._NOT_PUBLIC, ids=str)
def test_no_address_of_a_special_network_may_be_asked(network):
    for address in (network[0], network[-1], network[network.num_addresses // 2]):
        assert not is_public(str(address), 80)
        if address.version == 4:
            # The same through every way of packing it.
            number = int(address)
            for packed in (
                f"::ffff:{address}",
                f"::{address}",
                f"::ffff:0:{address}",
                str(ipaddress.IPv6Address((0x64FF9B << 96) | number)),
                str(ipaddress.IPv6Address((0x64FF9B0001 << 80) | number)),
                str(ipaddress.IPv6Address((0x2002 << 112) | number << 80 | 1)),
                str(ipaddress.IPv6Address((0x20010000 << 96) | number ^ 0xFFFFFFFF)),
                str(ipaddress.IPv6Address((0x2A000001 << 96) | 0x5EFE << 32 | number)),
                str(ipaddress.IPv6Address((0x2A000001 << 96) | 0x02005EFE << 32 | number)),
            ):
                assert not is_public(packed, 80), packed


@pytest.mark.attack
@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",  # most clouds
        "169.254.170.2",  # containers of AWS
        "169.254.0.23",  # Tencent
        "100.100.100.200",  # Alibaba
        "192.0.0.192",  # Oracle
        "168.63.129.16",  # Azure
        "161.26.0.7",  # IBM
        "166.8.0.1",
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google
        "fd00:42::42",  # Scaleway
        "fe80::a9fe:a9fe",
        "fec0::1",
        "5f00::1",
        "100::1",
        "100:0:0:1::1",
        "3fff::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:30::1",
        "2001:1::1",
        "2620:4f:8000::1",
        "4000::1",
        "::",
        "::1",
        "ff0e::1",
        "2002:808:808::1",
    ],
)
def test_addresses_of_clouds_and_of_protocols_may_not_be_asked(address):
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
