"""Archives with traps: nothing is written outside, nothing endless, nothing from a broken one."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile

import pytest

from convert.errors import ConvertError
from convert.sources.archive import extract


def add(tar: tarfile.TarFile, name: str, content: bytes = b"x", kind: bytes = b"0") -> None:
    member = tarfile.TarInfo(name)
    member.size, member.type, member.linkname = len(content), kind, "/etc/passwd"
    tar.addfile(member, io.BytesIO(content) if kind == b"0" else None)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../outside", tarfile.REGTYPE),
        ("/absolute", tarfile.REGTYPE),
        ("model/../../outside", tarfile.REGTYPE),
        ("link", tarfile.SYMTYPE),
        ("link", tarfile.LNKTYPE),
        ("device", tarfile.CHRTYPE),
    ],
)
def test_an_unsafe_tar_is_refused_before_anything_is_written(tmp_path, name, kind):
    path = tmp_path / "model.tar"
    with tarfile.open(path, "w") as tar:
        add(tar, "inference.pdmodel")
        add(tar, name, kind=kind)
    with pytest.raises(ConvertError, match="is refused"):
        extract(path, tmp_path / "out", lambda member: True)
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "outside").exists()


def test_an_unsafe_zip_is_refused_before_anything_is_written(tmp_path):
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    for name in ("../outside", "/absolute", "..\\outside", link):
        path = tmp_path / "model.zip"
        with zipfile.ZipFile(path, "w") as packed:
            packed.writestr("inference.pdmodel", b"x")
            packed.writestr(name, b"x")
        with pytest.raises(ConvertError, match="is refused"):
            extract(path, tmp_path / "out", lambda member: True)
        assert not (tmp_path / "out").exists()


def test_a_truncated_archive_is_refused(tmp_path):
    path = tmp_path / "model.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        add(tar, "inference.pdmodel", os.urandom(100_000))
    path.write_bytes(path.read_bytes()[:50_000])
    with pytest.raises(ConvertError, match="cannot be unpacked"):
        extract(path, tmp_path / "out", lambda member: True)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("convert.sources.archive.MAX_UNPACKED", 1000)
    path = tmp_path / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("inference.pdmodel", bytes(2000))
    with pytest.raises(ConvertError, match="unpacks to 2000 bytes"):
        extract(path, tmp_path / "out", lambda member: True)
