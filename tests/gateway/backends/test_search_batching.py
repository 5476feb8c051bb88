"""Searches that are made together."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from gateway.backends.library_calls import LibraryCalls
from gateway.backends.search_batching import Kind, SearchBatcher
from gateway.errors import ApiError, ErrorCode
from library.library import Library
from library.records import Enrolment, NewFace
from settings.library import LibraryConfig
from tests.support.libraries.faces import MODEL, vectors
from tests.support.libraries.in_folder import RECOGNISER

FACES = vectors(20)
KIND = Kind("shop", ("staff",), 1, 0.0)


def searching(tmp_path, work):
    """Runs `work` with the searches of a library of twenty, and the sizes of their passes."""
    config = LibraryConfig(folder=tmp_path)
    with Library(config, RECOGNISER) as library:
        library.create_group("shop", "staff")
        faces = [Enrolment("staff", f"u{n}", NewFace(FACES[n], MODEL)) for n in range(len(FACES))]
        library.enrol("shop", faces)

    async def run():
        library = LibraryCalls(config, RECOGNISER, 4)
        await library.start()
        passes = []
        call = library.call

        async def counted(made, timeout=None):
            passes.append(made)
            return await call(made, timeout)

        library.call = counted
        try:
            await work(SearchBatcher(library, 10.0), passes)
        finally:
            await library.close()

    asyncio.run(run())


def test_each_gets_its_own_answer_out_of_a_few_passes(tmp_path):
    async def work(searches, passes):
        asked = [searches.search(KIND, FACES[n : n + 1 + n % 2]) for n in range(19)]
        for n, found in enumerate(await asyncio.gather(*asked)):
            assert [hits[0].user for hits in found] == [f"u{n + i}" for i in range(1 + n % 2)]
        assert len(passes) < 5

    searching(tmp_path, work)


def test_what_one_kind_cannot_be_told_does_not_touch_another(tmp_path):
    async def work(searches, passes):
        wrong = Kind("shop", ("nobody",), 1, 0.0)
        asked = [searches.search(kind, FACES[:1]) for kind in (wrong, KIND, wrong, KIND)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        for error in found[::2]:
            assert isinstance(error, ApiError)
            assert error.kind is ErrorCode.GROUP_NOT_FOUND
        assert [hits[0][0].user for hits in found[1::2]] == ["u0", "u0"]

    searching(tmp_path, work)


def test_one_who_has_gone_leaves_the_others_their_answers(tmp_path):
    async def work(searches, passes):
        first = asyncio.create_task(searches.search(KIND, FACES[:1]))
        await asyncio.sleep(0)
        going = asyncio.create_task(searches.search(KIND, FACES[1:2]))
        staying = asyncio.create_task(searches.search(KIND, FACES[2:3]))
        await asyncio.sleep(0)
        going.cancel()
        assert (await first)[0][0].user == "u0"
        assert (await staying)[0][0].user == "u2"
        with pytest.raises(asyncio.CancelledError):
            await going
        assert np.allclose((await searches.search(KIND, FACES[3:4]))[0][0].cosine, 1.0, atol=1e-2)

    searching(tmp_path, work)
