"""What is relied on of faiss's internals: fails where another version has them otherwise.

Each name that `library/index/memory/faiss_internals.py` uses is in `NAMES`, with what it means.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from library.index.memory import faiss_internals
from library.index.memory.faiss_engine import faiss
from library.index.memory.faiss_internals import (
    CENTROIDS,
    INT8_ZERO,
    PLACE_BITS,
    PackedCodes,
    PackedSearch,
    Products,
    ScannerMaker,
    pointer,
)
from library.index.vector_index import NO_SCORE
from tests.support.private_names import own_names

ROOT = Path(__file__).resolve().parents[3]
DIM = 24
# With a multiple of 16 or 32 other code may run, and with other instructions of the processor.
DIMS = (24, 48, 128)
LEVELS = [
    name
    for name in ("NONE", "AVX2", "AVX512", "AVX512_VPOPCNT", "AVX512_SPR")
    if faiss.SIMDConfig.is_simd_level_available(getattr(faiss, f"SIMDLevel_{name}"))
]
NAMES = {
    "swig_ptr": "the address of an array without gaps",
    "rev_swig_ptr": "an array over memory of C++",
    "METRIC_INNER_PRODUCT": "the greatest score is the best",
    "IndexFlatIP": "what IndexIVFFlat asks for its one cell",
    "IndexIVFFlat": "makes scanners of float32",
    "get_InvertedListScanner": "(by_list, no selector, no parameters)",
    "ScalarQuantizer": "makes scanners of other components",
    "QT_fp16": "IEEE half precision, as numpy and OpenCV have it",
    "QT_8bit_uniform": "a component is the range's start and (code + 0.5) / 255 of its length",
    "trained": "ScalarQuantizer: start and length of the range",
    "select_InvertedListScanner": "(metric, no quantizer, by_list, no selector, not by residual)",
    "set_query": "keeps the address only",
    "set_list": "the number that by_list puts above the place",
    "scan_codes": "(count, codes, names or none, heap's scores, heap's rows, k)",
    "LinearTransform": "(dim in, dim out, without bias)",
    "copy_array_to_vector": "an array into a std::vector, which takes its size",
    "vector_to_array": "a copy of a std::vector",
    "A": "LinearTransform: its matrix, (out, in)",
    "is_trained": "can be set where the rest has been",
    "apply_noalloc": "(count, vectors, room for the products)",
    "IndexPQFastScan": "(dim, parts, 4 bits, metric), 32 rows packed together",
    "pq": "IndexPQFastScan: its ProductQuantizer",
    "cp": "ProductQuantizer: how k-means is trained",
    "niter": "iterations of k-means",
    "max_points_per_centroid": "more training vectors are not looked at",
    "min_points_per_centroid": "fewer training vectors are warned of",
    "centroids": "ProductQuantizer: (parts, 16, dim / parts) float32",
    "compute_codes": "ProductQuantizer: codes that are not packed, the first part in the low bits",
    "train": "makes the code book",
    "add": "appends packed codes",
    "d": "the dim of an index",
    "ntotal": "rows",
    "ntotal2": "rows, made up to whole packs",
    "bbs": "rows of a pack",
    "M2": "parts, made up to an even number",
    "codes": "IndexPQFastScan: an AlignedTable of bytes",
    "get": "AlignedTable: its address",
    "size": "AlignedTable and std::vector: elements",
    "copy_array_to_AlignedTable": "an array into an AlignedTable, which takes its size",
    "get_CodePacker": "reads and writes a row of a pack",
    "nvec": "CodePacker: rows of a pack",
    "block_size": "CodePacker: bytes of a pack",
    "code_size": "CodePacker: bytes of a row's code",
    "pack_1_c": "CodePacker: (code, place in the pack, pack)",
    "unpack_1_c": "CodePacker: (pack, place in the pack, code)",
    "IndexShards": "(dim, not on threads of its own, rows counted through)",
    "add_shard": "keeps the address of an index",
    "search_c": "search with addresses: (count, queries, k, scores, rows)",
}


def rng():
    return np.random.default_rng(7)


def vectors(count, dim=DIM):
    made = rng().normal(size=(count, dim)).astype(np.float32)
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def heap(k):
    scores, rows = np.full(k, NO_SCORE, np.float32), np.full(k, -1, np.int64)
    return scores, rows, (pointer(scores), pointer(rows))


def test_every_name_of_faiss_that_is_used_is_in_the_list():
    used = set()
    for node in ast.walk(ast.parse(Path(faiss_internals.__file__).read_text())):
        if isinstance(node, ast.Attribute):
            match node.value:
                case ast.Name(id="self" | "np"):
                    pass
                case _:
                    used.add(node.attr)
    of_others = set(dir(np.ndarray)) | own_names(PackedCodes) | own_names(PackedSearch)
    assert set(NAMES) - of_others <= used <= set(NAMES) | of_others


def test_no_other_module_uses_addresses_of_arrays():
    modules = set(ROOT.glob("library/**/*.py")) - {Path(faiss_internals.__file__)}
    assert len(modules) > 50
    assert [file for file in modules if "swig" in file.read_text()] == []
    importing = [file.name for file in modules if "faiss" in _names_imported(file)]
    assert importing == ["faiss_engine.py"]


def _names_imported(file):
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(one.name for one in node.names)
    return found


@pytest.fixture(params=LEVELS)
def level(request):
    """Faiss with the instructions of one of the levels that it knows and this processor has."""
    before = faiss.SIMDConfig.get_level()
    faiss.SIMDConfig.set_level(getattr(faiss, f"SIMDLevel_{request.param}"))
    yield
    faiss.SIMDConfig.set_level(before)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize(
    ("components", "encode"),
    [
        ("float32", lambda values: values),
        ("fp16", lambda values: values.astype(np.float16)),
        ("int8", lambda values: np.rint(values * 127 + INT8_ZERO).astype(np.uint8)),
    ],
)
@pytest.mark.usefixtures("level")
class TestScanners:
    def codes_and_scores(self, components, encode, query):
        codes = encode(vectors(50, len(query)))
        decoded = codes.astype(np.float32)
        if components == "int8":
            decoded -= INT8_ZERO
        return codes.view(np.uint8), decoded @ query

    def test_they_keep_the_best_rows_by_the_list_and_the_place(self, components, encode, dim):
        query = vectors(60, dim)[-1].copy()
        codes, expected = self.codes_and_scores(components, encode, query)
        scanner = ScannerMaker(components, dim).scanner(query, by_list=True)
        scores, rows, both = heap(5)
        scanner.scan_list(3, 30, pointer(codes[:30]), both, 5)
        scanner.scan_list(9, 20, pointer(codes[30:]), both, 5)
        best = np.argsort(-expected)[:5]
        names = {(3 << PLACE_BITS) + n if n < 30 else (9 << PLACE_BITS) + n - 30 for n in best}
        assert set(rows.tolist()) == names
        np.testing.assert_allclose(np.sort(scores)[::-1], expected[best], rtol=1e-4)

    def test_they_keep_the_best_rows_by_their_names(self, components, encode, dim):
        query = vectors(60, dim)[-1].copy()
        codes, expected = self.codes_and_scores(components, encode, query)
        scanner = ScannerMaker(components, dim).scanner(query, by_list=False)
        scores, rows, both = heap(5)
        names = np.arange(50, dtype=np.int64) * 10**12
        scanner.scan(50, pointer(codes), pointer(names), both, 5)
        best = np.argsort(-expected)[:5]
        assert set(rows.tolist()) == set(names[best].tolist())
        np.testing.assert_allclose(np.sort(scores)[::-1], expected[best], rtol=1e-4)

    def test_what_a_heap_has_room_for_stays_empty(self, components, encode, dim):
        query = vectors(60, dim)[-1].copy()
        codes, _ = self.codes_and_scores(components, encode, query)
        scanner = ScannerMaker(components, dim).scanner(query, by_list=True)
        scores, rows, both = heap(5)
        scanner.scan_list(0, 3, pointer(codes), both, 5)
        assert sorted(rows.tolist()) == [-1, -1, 0, 1, 2]
        assert np.count_nonzero(scores == NO_SCORE) == 2


def test_a_signed_byte_is_what_it_is_more_than_128():
    codes = np.array([[1], [128], [255]], np.uint8).repeat(DIM, axis=1)
    query = np.full(DIM, 0.5, np.float32)
    scanner = ScannerMaker("int8", DIM).scanner(query, by_list=True)
    scores, rows, both = heap(3)
    scanner.scan_list(0, 3, pointer(codes), both, 3)
    found = dict(zip(rows.tolist(), scores.tolist()))
    # To a millionth of a code for each component: faiss computes in float32.
    assert found == pytest.approx({0: -127 * DIM / 2, 1: 0.0, 2: 127 * DIM / 2}, abs=1e-3)


def test_a_scanner_keeps_its_query():
    scanner = ScannerMaker("float32", DIM).scanner(np.full(DIM, 1.0, np.float32), by_list=True)
    others = [np.full(DIM, 7.0, np.float32) for _ in range(100)]
    scores, _, both = heap(1)
    scanner.scan_list(0, 1, pointer(np.ones((1, DIM), np.float32).view(np.uint8)), both, 1)
    assert len(others) == 100
    assert scores.tolist() == [DIM]


def test_products_are_those_of_all_vectors_and_all_queries():
    queries, stored = vectors(3), vectors(20)
    scores = np.full((25, 3), 9.0, np.float32)
    Products(queries).write(stored, scores)
    np.testing.assert_allclose(scores[:20], stored @ queries.T, atol=1e-6)
    assert (scores[20:] == 9).all()


@pytest.mark.parametrize("parts", [12, 3])  # three are made up to four
@pytest.mark.parametrize("count", [70, 64, 16])
def test_packed_codes_are_sixteen_centroids_a_part_in_packs_of_32(parts, count):
    stored = vectors(count)
    packed = PackedCodes.of(stored, parts, stored, 6)
    assert len(packed) == count
    assert packed.book.shape == (CENTROIDS * DIM,)
    assert len(packed.codes) == -(-count // 32) * 32 * -(-parts // 2)
    codes = packed.read(np.arange(count))
    # The first part is in the low bits of the first byte.
    numbers = np.stack([codes & 15, codes >> 4], axis=2).reshape(count, -1)[:, :parts]
    book = packed.book.reshape(parts, CENTROIDS, DIM // parts)
    decoded = book[np.arange(parts), numbers].reshape(count, DIM)
    near = ((stored.reshape(count, parts, 1, -1) - book) ** 2).sum(axis=3).argmin(axis=2)
    assert (near == numbers).all()
    scores, rows = PackedSearch([packed]).search(stored[:4], count)
    assert (np.sort(rows, axis=1) == np.arange(count)).all()
    expected = np.take_along_axis(stored[:4] @ decoded.T, rows, axis=1)
    # What it looks up has eight bits.
    np.testing.assert_allclose(scores, expected, atol=0.05)
    assert (packed.code_of(stored[5]) == codes[5]).all()


def test_a_row_of_a_pack_is_overwritten_and_no_other():
    stored = vectors(70)
    packed = PackedCodes.of(stored, 12, stored, 6)
    before = packed.read(np.arange(70))
    code = packed.code_of(np.zeros(DIM, np.float32))
    rows = np.array([0, 31, 32, 69])
    packed.write(rows, code)
    after = packed.read(np.arange(70))
    assert (after[rows] == code).all()
    others = np.setdiff1d(np.arange(70), rows)
    assert (after[others] == before[others]).all()


def test_packed_codes_are_restored_from_their_bytes_and_their_book():
    stored = vectors(70)
    packed = PackedCodes.of(stored, 12, stored, 6)
    codes, book = packed.codes.copy(), packed.book
    again = PackedCodes.restored(70, DIM, 12, codes, book)
    assert (again.codes == codes).all()
    assert (again.book == book).all()
    for one, other in zip(*(PackedSearch([p]).search(stored[:5], 9) for p in (packed, again))):
        assert (one == other).all()
    for wrong in ((80, DIM, 12, codes, book[:-1]), (200, DIM, 12, codes, book)):
        with pytest.raises(ValueError, match="code"):
            PackedCodes.restored(*wrong)


def test_several_packed_codes_are_looked_through_with_their_rows_counted_through():
    stored = vectors(100)
    parts = [stored[:30], stored[30:70], stored[70:]]
    packed = [PackedCodes.of(one, 12, one, 6) for one in parts]
    scores, rows = PackedSearch(packed).search(stored[:5], 103)
    assert (np.sort(rows[:, :100], axis=1) == np.arange(100)).all()
    assert (rows[:, 100:] == -1).all()
    alone = [PackedSearch([one]).search(stored[:5], len(one)) for one in packed]
    starts = np.array([0, 30, 70])
    for query in range(5):
        expected = {
            int(start + row): float(score)
            for start, (own_scores, own_rows) in zip(starts, alone)
            for score, row in zip(own_scores[query], own_rows[query])
        }
        assert dict(zip(rows[query].tolist(), scores[query].tolist())) | {-1: 0} == {
            **expected,
            -1: 0,
        }


def test_scans_and_searches_let_other_threads_of_python_run():
    codes, query = np.zeros((200_000, 2 * 128), np.uint8), np.ones(128, np.float32)
    scanner = ScannerMaker("fp16", 128).scanner(query, by_list=True)
    *_, both = heap(10)
    stored = vectors(20_000, 64)
    packed = PackedSearch([PackedCodes.of(stored, 32, stored[:200], 1)])
    products, scores = Products(stored[:100]), np.empty((20_000, 100), np.float32)
    assert _lets_others_run(lambda: scanner.scan_list(0, len(codes), pointer(codes), both, 10))
    assert _lets_others_run(lambda: packed.search(stored[:50], 10))
    assert _lets_others_run(lambda: products.write(stored, scores))


def _lets_others_run(work):
    """Whether this thread gets on in the middle of the work of another, in one of several tries."""
    for _ in range(20):
        times = []

        def run(times=times):
            times.append(time.perf_counter())
            work()
            times.append(time.perf_counter())

        thread = threading.Thread(target=run)
        ticks = [0.0]
        thread.start()
        while thread.is_alive():
            ticks.append(time.perf_counter())
        thread.join()
        start, end = times
        if any(start + (end - start) / 4 < tick < end - (end - start) / 4 for tick in ticks):
            return True
    return False


_CORE = """
import ctypes, os, re
from pathlib import Path
before = os.environ.get("OPENBLAS_CORETYPE")
from library.index.memory.faiss_engine import _has_avx512
assert os.environ.get("OPENBLAS_CORETYPE") == before
(path,) = set(re.findall(r"/\\\\S*faiss\\\\S*openblas\\\\S*", Path("/proc/self/maps").read_text()))
name = ctypes.CDLL(path).openblas_get_corename
name.restype = ctypes.c_char_p
print(name().decode() if _has_avx512() else "SkylakeX")
""".replace("\\\\", "\\")


def test_faiss_has_an_openblas_of_its_own_which_takes_the_code_that_it_is_told_to():
    run = [sys.executable, "-c", _CORE]
    shown = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout == "SkylakeX\n"


def test_the_threads_that_faiss_uses_are_a_setting_of_each_thread():
    other = []

    def set_and_look():
        faiss.omp_set_num_threads(1)
        other.append(faiss.omp_get_max_threads())

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        thread = threading.Thread(target=set_and_look)
        thread.start()
        thread.join()
        assert (other, faiss.omp_get_max_threads()) == ([1], 3)
    finally:
        faiss.omp_set_num_threads(before)
