"""The collections of the index in Milvus: whose they are, and what becomes of them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from library.errors import IndexLostError, ModelMismatchError
from library.index.milvus.index import collection_name
from library.index.vector_index import Collection
from library.sync.milvus_storage import MilvusStorage
from settings.library import IndexConfig, LibraryConfig
from tests.conftest import ROOT
from tests.library.index.test_milvus import Faces, _tombstones, assert_same
from tests.support.libraries.milvus_server import DIM

pytestmark = pytest.mark.usefixtures("patient")


def test_apps_do_not_see_each_others_faces(index, milvus_place, open_index):
    faces, others = Faces(5), Faces(5, seed=8)
    other = open_index(milvus_place, app=2_000_000)
    other.remove(other.ids(), other.version + 1)
    faces.add_to(index)
    others.add_to(other)
    assert_same(index.search(others.vectors, 5), faces.hits(others.vectors, 5))
    assert_same(other.search(faces.vectors, 5), others.hits(faces.vectors, 5))
    other.remove(faces.ids, other.version + 1)
    assert len(index) == 5


def test_collections_of_other_models_origins_and_apps_have_names_of_their_own():
    names = {
        collection_name(Collection(app, model, DIM, origin))
        for app in (1, 11)
        for model in ("a-b", "a_b", "a" * 200)
        for origin in ("", "1")
    }
    assert len(names) == 12
    assert max(map(len, names)) < 200
    with pytest.raises(ValueError, match="prefix"):
        collection_name(Collection(1, "a", DIM), 'x" or "')


def test_a_collection_of_another_length_of_vectors_is_refused(index, milvus_place, open_index):
    with pytest.raises(ModelMismatchError, match="length 17"):
        open_index(milvus_place, app=index.collection.app_id, dim=DIM + 1)


def test_a_collection_that_was_taken_away_is_filled_anew_after_opening(milvus_place, open_index):
    index = open_index(milvus_place)
    faces = Faces(6)
    faces.add_to(index)
    index._rows.drop()
    for attempt in (lambda: index.search(faces.vectors, 1), lambda: faces.add_to(index), index.ids):
        with pytest.raises(IndexLostError) as error:
            attempt()
        assert error.value.code == "index_lost"
    again = open_index(milvus_place, app=index.collection.app_id)
    assert again.version == 0
    faces.add_to(again)
    assert_same(again.search(faces.vectors, 2), faces.hits(faces.vectors, 2))
    with pytest.raises(IndexLostError):
        index.refresh()


def test_a_cleared_index_is_empty_and_the_other_processes_are_told(milvus_file, open_index):
    index = open_index(milvus_file)
    other = open_index(milvus_file, app=index.collection.app_id)
    faces = Faces(6)
    faces.add_to(index)
    index.clear()
    assert (index.version, len(index)) == (0, 0)
    with pytest.raises(IndexLostError):
        faces.add_to(other)
    faces.add_to(index)
    assert len(index) == 6


def test_nothing_is_left_of_an_index_that_is_dropped(milvus_file, open_index):
    index = open_index(milvus_file)
    faces = Faces(2)
    faces.add_to(index)
    index.remove(faces.ids[:1], index.version + 1)
    index.drop()
    again = open_index(milvus_file, app=index.collection.app_id)
    assert (again.version, len(again), _tombstones(again)) == (0, 0, {})


def test_what_is_kept_of_other_rows_is_deleted_without_opening_it(milvus_file, open_index):
    index = open_index(milvus_file)
    faces = Faces(3)
    faces.add_to(index)
    settings = {"kind": "milvus", "milvus_uri": milvus_file}
    storage = MilvusStorage(LibraryConfig(index=IndexConfig(**settings)))
    storage.discard(replace(index.collection, origin="another"))
    assert len(index) == 3
    storage.discard(index.collection)
    storage.discard(index.collection)
    assert not index._rows.exists()
    again = open_index(milvus_file, app=index.collection.app_id)
    assert (again.version, len(again), _tombstones(again)) == (0, 0, {})


def test_large_batches_go_in_pieces_and_come_out_whole(index):
    faces = Faces(20_000, 4)
    faces.add_to(index)
    assert len(index) == 20_000
    queries = faces.directions(64)
    assert_same(index.search(queries, 5), faces.hits(queries, 5))
    index.remove(faces.ids[:15_000], index.version + 1)
    assert index.ids().tolist() == faces.ids[15_000:].tolist()


def test_a_server_searches_a_graph_where_that_is_set(milvus_server, open_index):
    index = open_index(milvus_server.url)
    faces = Faces(5000, 2)
    faces.add_to(index)
    index.close()
    graph = open_index(milvus_server.url, app=index.collection.app_id, approximate=True)
    assert graph._rows._get().indexes[0].params["index_type"] == "HNSW"
    queries = faces.directions(100)
    found, right = graph.search(queries, 1), faces.hits(queries, 1)
    assert (found.entries == right.entries).mean() >= 0.99


FILLER = """
import sys
import numpy as np
from library.index.vector_index import Collection
from library.index.milvus.index import MilvusIndex

place, app, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
index = MilvusIndex(Collection(app, "a-model", 16, "the-first"), place)
ids = np.arange(number * 10, number * 10 + 10)
vectors = np.eye(16, dtype=np.float32)[:10]
index.add(ids, ids, ids, vectors, number)
index.close()
"""


def test_processes_that_open_a_new_index_at_once_fill_the_same_one(milvus_server, open_index):
    app = 1_000_001
    fillers = [
        subprocess.Popen(
            [
                sys.executable,
                "-W",
                "ignore",
                "-c",
                FILLER,
                milvus_server.url,
                str(app),
                str(number),
            ],
            cwd=ROOT,
        )
        for number in range(1, 4)
    ]
    assert [filler.wait(120) for filler in fillers] == [0, 0, 0]
    index = open_index(milvus_server.url, app=app)
    assert index.ids().tolist() == list(range(10, 40))
    assert 1 <= index.version <= 3
