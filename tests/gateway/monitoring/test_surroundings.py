"""What /metrics tells of the disks, the indexes and the proxy's certificate."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

from gateway.backends.library_calls import figures
from gateway.monitoring import surroundings
from gateway.monitoring.certificate import CertificateError, expiry_of, not_after
from gateway.monitoring.disks import Room, folders_of, rooms
from gateway.monitoring.index_lag import IndexLag
from gateway.monitoring.surroundings import Surroundings
from library.records import IndexPlace
from runtime.ports import free_ports
from settings.config import Config, load_config
from settings.gateway import GatewayConfig
from tests.support.gateway.certificates import der_of, made_certificate, tls_server
from tests.support.libraries.in_folder import open_library
from tests.support.service import ROOT

DAY_S = 86_400


def told_by_openssl(file: Path) -> float:
    line = subprocess.run(
        ["openssl", "x509", "-in", str(file), "-noout", "-enddate"],
        capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    return float(ssl.cert_time_to_seconds(line.strip().partition("=")[2]))


@pytest.fixture
def config() -> Config:
    return load_config(ROOT / "config.yml")


def with_tls(config: Config, address: str) -> Config:
    gateway = config.gateway.model_copy(update={"tls_address": address})
    return config.model_copy(update={"gateway": gateway})


def values(families) -> dict[str, float]:
    return {one.name: one.value for family in families for one in family.samples}


@pytest.mark.parametrize("days", ["1", "90", "20000"])
def test_the_end_of_a_certificate_is_what_openssl_says(tmp_path, days):
    file = made_certificate(tmp_path, "-days", days)
    der = der_of(file)
    assert not_after(der) == told_by_openssl(file)


@pytest.mark.parametrize("cut", [0, 1, 2, 5, 40, 90, 150])
def test_what_is_no_certificate_is_said_to_be_none(tmp_path, cut):
    file = made_certificate(tmp_path, "-days", "2")
    der = der_of(file)
    with pytest.raises(CertificateError):
        not_after(der[:cut])
    with pytest.raises(CertificateError):
        not_after(b"\x30\x03" + der[:3])


def test_a_certificate_is_read_from_the_proxy_that_shows_it(tmp_path, config):
    file = made_certificate(tmp_path, "-days", "30")
    with tls_server(file) as address:
        assert asyncio.run(expiry_of(address, 10)) == told_by_openssl(file)
        found = values(asyncio.run(Surroundings(with_tls(config, address)).families()))
    assert found["face_tls_up"] == 1
    assert 29 * DAY_S < found["face_tls_certificate_expiry_seconds"] - time.time() < 31 * DAY_S


def test_a_proxy_that_is_away_is_shown_and_its_last_certificate_is_remembered(
    tmp_path, config, monkeypatch
):
    monkeypatch.setattr(surroundings, "CERTIFICATE_S", 0.0)
    file = made_certificate(tmp_path, "-days", "30")

    async def look() -> tuple[dict[str, float], dict[str, float]]:
        with tls_server(file) as address:
            looking = Surroundings(with_tls(config, address))
            during = values(await looking.families())
        return during, values(await looking.families())

    during, after = asyncio.run(look())
    assert (during["face_tls_up"], after["face_tls_up"]) == (1, 0)
    assert after["face_tls_certificate_expiry_seconds"] == told_by_openssl(file)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "a..b", "a" * 70, "no such host"])
def test_of_a_proxy_that_was_never_there_no_certificate_is_known(config, host):
    port, _ = free_ports()
    found = values(asyncio.run(Surroundings(with_tls(config, f"{host}:{port}")).families()))
    assert found["face_tls_up"] == 0
    assert "face_tls_certificate_expiry_seconds" not in found


def test_the_newest_backup_and_how_far_the_indexes_are_are_known(tmp_path):
    with open_library(tmp_path) as library:
        library.create_group("shop", "staff")
        assert figures(library).backup == 0.0
        before = time.time()
        library.store.backup(tmp_path / "one.db")
        library.store.backup(tmp_path / "two.db")
        found = figures(library)
    assert before - 1 < found.backup <= time.time()
    assert found.indexes["shop"].reached == found.indexes["shop"].version


def test_without_an_address_nothing_is_said_of_tls(config):
    found = values(asyncio.run(Surroundings(config).families()))
    assert not [name for name in found if "tls" in name]


@pytest.mark.parametrize("address", ["face.example.com", ":443", "face.example.com:https", "a:0"])
def test_an_address_without_host_or_port_is_refused(address):
    with pytest.raises(ValueError, match="is not HOST:PORT"):
        GatewayConfig(tls_address=address)


def test_the_room_is_that_of_the_file_system_also_where_the_folder_is_not_made_yet(tmp_path):
    found = rooms({"logs": tmp_path, "database": tmp_path / "not" / "yet"})
    line = subprocess.run(
        ["df", "--block-size=1", "--output=avail,size", str(tmp_path)],
        capture_output=True, check=True, text=True,
    ).stdout  # fmt: skip
    _, size = map(int, line.split()[-2:])
    assert found["logs"].size == found["database"].size == size
    assert 0 <= found["logs"].free <= size


def test_a_database_on_a_server_has_no_disk_here(config, tmp_path):
    assert set(folders_of(config)) == {"database", "logs", "snapshots", "tokens"}
    index = config.library.index.model_copy(update={"snapshot_dir": ""})
    library = config.library.model_copy(
        update={"database": "postgresql://face@db/faces", "index": index}
    )
    elsewhere = config.model_copy(update={"library": library})
    assert set(folders_of(elsewhere)) == {"logs", "tokens"}


def test_a_disk_that_hangs_is_left_out_and_takes_one_thread(config, monkeypatch):
    asked = []
    hanging = threading.Event()

    def stuck(folders) -> dict[str, Room]:
        asked.append(folders)
        hanging.wait(30)
        return {"logs": Room(1.0, 2.0)}

    monkeypatch.setattr(surroundings, "rooms", stuck)
    monkeypatch.setattr(surroundings, "TIMEOUT_S", 0.05)

    async def look() -> tuple[dict[str, float], dict[str, float]]:
        looking = Surroundings(config)
        await looking.families()
        during = values(await looking.families())
        hanging.set()
        while not looking._rooms:
            await asyncio.sleep(0.01)
        return during, values(await looking.families())

    during, after = asyncio.run(look())
    assert len(asked) == 1
    assert during == {}
    assert after == {"face_disk_free_bytes": 1.0, "face_disk_size_bytes": 2.0}


def test_an_index_that_is_up_to_date_or_just_behind_is_not_late():
    lag = IndexLag()
    assert lag.seconds({"a": IndexPlace(5, 5)}, 0.0) == {"a": 0.0}
    assert lag.seconds({"a": IndexPlace(9, 8)}, 30.0) == {"a": 0.0}
    # It has what there was at the last look, and lacks what has come since.
    assert lag.seconds({"a": IndexPlace(12, 11)}, 60.0) == {"a": 0.0}


def test_an_index_that_stands_still_is_late_since_it_was_first_seen_behind():
    lag = IndexLag()
    lag.seconds({"a": IndexPlace(9, 5), "b": IndexPlace(1, 1)}, 100.0)
    assert lag.seconds({"a": IndexPlace(12, 6), "b": IndexPlace(1, 1)}, 130.0) == {"a": 30, "b": 0}
    assert lag.seconds({"a": IndexPlace(12, 8)}, 190.0) == {"a": 90.0}
    assert lag.seconds({"a": IndexPlace(12, 12)}, 220.0) == {"a": 0.0}
    assert lag.seconds({}, 250.0) == {}
