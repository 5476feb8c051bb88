"""Snapshots: an index comes back as it was, or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import textwrap
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from library.errors import SnapshotError
from library.index.memory.approximate import ApproximateIndex
from library.index.memory.exact import ExactIndex
from library.index.memory.snapshot import (
    FORMAT,
    MAGIC,
    PAGE,
    PREAMBLE,
    PREAMBLE_CHECKSUM,
    writing_in,
)
from library.index.vector_index import Collection
from tests.support.libraries.index_reference import TOLERANCE, Reference, unit

DIM = 16
COLLECTION = Collection(3, "mobilefacenet_128", DIM, "origin-a")


def made(
    kind: type[ExactIndex] = ExactIndex, storage: str = "fp16", rows: int = 1500
) -> ExactIndex:
    """An index with full blocks, one that is not, replaced and removed entries."""
    rng = np.random.default_rng(0)
    index = kind(COLLECTION, storage, block_rows=512)
    ids = np.arange(rows)
    index.add(ids, ids // 3, ids % 2, unit(rng, rows, DIM), 4)
    index.add(ids[:20], ids[:20], ids[:20], unit(rng, 20, DIM), 5)
    index.remove(ids[100:120], 6)
    return index


def assert_same(index: ExactIndex, other: ExactIndex) -> None:
    probes = unit(np.random.default_rng(9), 8, DIM)
    assert other.version == index.version
    assert np.array_equal(index.ids(), other.ids())
    assert np.array_equal(index.vectors_of(index.ids()), other.vectors_of(index.ids()))
    for groups in (None, [1]):
        for before, after in zip(
            vars(index.search(probes, 6, groups)).values(),
            vars(other.search(probes, 6, groups)).values(),
        ):
            assert np.array_equal(before, after)


@pytest.mark.parametrize("storage", ["float32", "fp16", "sq8"])
def test_an_index_comes_back_as_it_was(tmp_path: Path, storage: str) -> None:
    index = made(storage=storage)
    index.save(tmp_path / "a")
    loaded = ExactIndex.load(tmp_path / "a", COLLECTION, storage=storage, block_rows=512)
    assert_same(index, loaded)


def test_the_approximate_index_comes_back_with_its_sketches(tmp_path: Path) -> None:
    index = made(ApproximateIndex)
    index.approximate_from = 1
    index.save(tmp_path / "a")
    loaded = ApproximateIndex.load(tmp_path / "a", COLLECTION, approximate_from=1, block_rows=512)
    for before, after in zip(index.table.view.blocks, loaded.table.view.blocks):
        assert (before.sketch is None) == (after.sketch is None)
        if before.sketch is not None and after.sketch is not None:
            for old, new in zip(before.sketch.arrays(), after.sketch.arrays()):
                assert np.array_equal(old, new)
    assert_same(index, loaded)


def test_an_exact_snapshot_serves_the_approximate_index_and_the_other_way(tmp_path: Path) -> None:
    made(ExactIndex).save(tmp_path / "exact")
    approximate = ApproximateIndex.load(
        tmp_path / "exact", COLLECTION, approximate_from=1, block_rows=512
    )
    sketches = [block.sketch for block in approximate.table.view.blocks]
    assert sketches[0] is not None
    approximate.save(tmp_path / "approximate")
    assert_same(approximate, ExactIndex.load(tmp_path / "approximate", COLLECTION, block_rows=512))


def test_an_empty_index_comes_back(tmp_path: Path) -> None:
    index = ExactIndex(COLLECTION)
    index.remove(np.empty(0, np.int64), 12)
    index.save(tmp_path / "a")
    loaded = ExactIndex.load(tmp_path / "a", COLLECTION)
    assert (len(loaded), loaded.version) == (0, 12)


def test_a_loaded_index_changes_without_changing_the_file(tmp_path: Path) -> None:
    index = made()
    index.save(tmp_path / "a")
    content = (tmp_path / "a").read_bytes()
    loaded = ExactIndex.load(tmp_path / "a", COLLECTION, block_rows=512)
    reference = Reference(DIM)
    for id_, vector in zip(index.ids(), index.vectors_of(index.ids())):
        reference.entries[int(id_)] = (0, 0, vector)
    new = np.arange(5000, 5700)
    vectors = unit(np.random.default_rng(5), len(new), DIM)
    loaded.add(new, new, new, vectors, 9)
    reference.add(new, new, new, vectors)
    loaded.remove(index.ids()[:700], 10)
    reference.remove(index.ids()[:700])
    reference.check_content(loaded, TOLERANCE["fp16"])
    assert (tmp_path / "a").read_bytes() == content
    # Saving again over the file that is mapped.
    loaded.save(tmp_path / "a")
    again = ExactIndex.load(tmp_path / "a", COLLECTION, block_rows=512)
    reference.check_content(again, TOLERANCE["fp16"])
    reference.check_content(loaded, TOLERANCE["fp16"])


@pytest.mark.parametrize(
    "other",
    [
        replace(COLLECTION, app_id=4),
        replace(COLLECTION, model="arcface"),
        replace(COLLECTION, dim=32),
        replace(COLLECTION, origin="origin-b"),
    ],
)
def test_a_snapshot_of_another_collection_is_refused(tmp_path: Path, other: Collection) -> None:
    made().save(tmp_path / "a")
    with pytest.raises(SnapshotError) as caught:
        ExactIndex.load(tmp_path / "a", other)
    assert caught.value.code == "snapshot_mismatch"


def test_a_snapshot_of_another_storage_is_refused(tmp_path: Path) -> None:
    made(storage="fp16").save(tmp_path / "a")
    with pytest.raises(SnapshotError) as caught:
        ExactIndex.load(tmp_path / "a", COLLECTION, storage="sq8")
    assert caught.value.code == "snapshot_mismatch"


def test_a_snapshot_of_a_later_format_is_refused(tmp_path: Path) -> None:
    import zlib

    path = tmp_path / "a"
    made().save(path)
    content = bytearray(path.read_bytes())
    magic, format_, *rest = PREAMBLE.unpack_from(content)
    assert (magic, format_) == (MAGIC, FORMAT)
    head = PREAMBLE.pack(magic, FORMAT + 1, *rest)
    content[: len(head) + 4] = head + PREAMBLE_CHECKSUM.pack(zlib.crc32(head))
    path.write_bytes(content)
    with pytest.raises(SnapshotError) as caught:
        ExactIndex.load(path, COLLECTION)
    assert caught.value.code == "snapshot_mismatch"


def test_a_byte_changed_anywhere_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    made(ApproximateIndex, rows=600).save(path)
    content = path.read_bytes()
    # Everything in the preamble, and of the rest a byte of every few.
    places = [*range(64), *range(64, len(content), 211), len(content) - 1]
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(SnapshotError) as caught:
            ApproximateIndex.load(path, COLLECTION, block_rows=512)
        assert caught.value.code == "snapshot_damaged", place


def test_a_file_cut_off_anywhere_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    made(rows=600).save(path)
    content = path.read_bytes()
    for length in [0, 1, 8, PAGE - 1, PAGE, *range(PAGE, len(content), 997), len(content) - 1]:
        path.write_bytes(content[:length])
        with pytest.raises(SnapshotError) as caught:
            ExactIndex.load(path, COLLECTION, block_rows=512)
        assert caught.value.code == "snapshot_damaged", length
    path.write_bytes(content + b"\0")
    with pytest.raises(SnapshotError):
        ExactIndex.load(path, COLLECTION, block_rows=512)


def test_something_else_is_no_snapshot(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(100_000))
    with pytest.raises(SnapshotError):
        ExactIndex.load(tmp_path / "a", COLLECTION)
    with pytest.raises(SnapshotError):
        ExactIndex.load(tmp_path, COLLECTION)
    with pytest.raises(FileNotFoundError):
        ExactIndex.load(tmp_path / "none", COLLECTION)


def test_a_full_disk_leaves_the_old_snapshot(tmp_path: Path) -> None:
    """The limit on a file's size stands for the disk's end: the writing of the file fails."""
    program = """
        import resource, signal, sys
        from pathlib import Path
        from tests.library.index.test_snapshot import COLLECTION, made
        path = Path(sys.argv[1])
        made(rows=600).save(path)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        try:
            made(rows=5000).save(path)
        except OSError as error:
            sys.exit(error.errno)
    """
    path = tmp_path / "a"
    command = [sys.executable, "-c", textwrap.dedent(program), str(path)]
    done = subprocess.run(command, check=False, cwd=Path(__file__).parents[3])
    assert done.returncode == errno.EFBIG
    assert [file.name for file in tmp_path.iterdir()] == ["a"]
    loaded = ExactIndex.load(path, COLLECTION, block_rows=512)
    assert_same(made(rows=600), loaded)


def test_what_a_killed_process_left_behind_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".a.1.tmp").write_bytes(b"half a snapshot")
    made().save(tmp_path / "a")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_snapshot_is_not_exchanged_for_one_of_an_earlier_version(tmp_path: Path) -> None:
    path = tmp_path / "a"
    earlier, later = made(), made()
    later.remove(np.arange(30), 7)
    later.save(path)
    earlier.save(path)
    assert_same(later, ExactIndex.load(path, COLLECTION, block_rows=512))


@pytest.mark.parametrize("there", ["damaged", "another's"])
def test_what_is_of_no_use_to_the_app_is_exchanged_whatever_its_version(
    tmp_path: Path, there: str
) -> None:
    path = tmp_path / "a"
    foreign = ExactIndex(replace(COLLECTION, origin="origin-b"))
    foreign.remove(np.empty(0, np.int64), 99)
    foreign.save(path)
    if there == "damaged":
        path.write_bytes(path.read_bytes()[:-1])
    made().save(path)
    assert_same(made(), ExactIndex.load(path, COLLECTION, block_rows=512))


def test_one_snapshot_at_a_time_is_written_in_a_folder(tmp_path: Path) -> None:
    writer = threading.Thread(target=lambda: made().save(tmp_path / "a"))
    with writing_in(tmp_path):
        writer.start()
        writer.join(0.2)
        assert list(tmp_path.iterdir()) == []
    writer.join()
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_snapshot_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    made().save(tmp_path / "a")
    assert (tmp_path / "a").stat().st_mode & 0o077 == 0
