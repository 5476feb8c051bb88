"""GET /health says ok when a request would be answered now, and otherwise why not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from client.pipeline.wire import PictureSeen
from gateway.backends.library_calls import LibraryCalls
from gateway.backends.pipeline import Pipeline
from gateway.backends.shared_result import SharedResult
from gateway.monitoring import health
from gateway.monitoring.health import Health
from inference.scores import Recogniser, Scores
from runtime.ports import free_ports
from settings.library import LibraryConfig

RECOGNISER = Recogniser("mobilefacenet_128", 128, Scores(0.0, 0.4))
MESSAGE_BYTES = 1_000_000


class CountingPipeline(Pipeline):
    """asked: how often it was."""

    asked = 0

    async def see(self, pictures: Any, **options: Any) -> list[PictureSeen]:
        self.asked += 1
        return await super().see(pictures, **options)


class HangingLibrary(LibraryCalls):
    """A library whose database takes connections and says nothing. asked: how often it was."""

    asked = 0

    async def ping(self) -> None:
        self.asked += 1
        await asyncio.Event().wait()


def checked(
    folder: Path,
    port: int,
    work: Callable[[Health, CountingPipeline, LibraryCalls], Any],
    database: str = "sqlite:///faces.db",
    kind: type[LibraryCalls] = LibraryCalls,
) -> Any:
    """What `work` returns for the health of a pipeline at `port` and a library in `folder`."""

    async def run() -> Any:
        config = LibraryConfig(folder=folder, database=database)
        pipeline = CountingPipeline([f"127.0.0.1:{port}"], 1, MESSAGE_BYTES)
        library = kind(config, RECOGNISER, 2)
        await library.start()
        try:
            return await work(Health(pipeline, library, time.monotonic()), pipeline, library)
        finally:
            await pipeline.close()
            await library.close()

    return asyncio.run(run())


async def once(one: Health, *_: Any) -> tuple[bool, dict[str, Any]]:
    return await one.check()


def test_a_service_that_nobody_has_asked_yet_is_tried_and_is_well(service, tmp_path):
    ok, body = checked(tmp_path, service.rpc_port, once)
    assert ok
    assert body["status"] == "ok"
    assert body["reasons"] == []
    assert "ArcFace" in body["models"]
    assert {"python", "paddle", "paddle_serving"} <= set(body["versions"])
    assert body["uptime_s"] >= 0


def test_a_pipeline_that_is_away_is_the_reason(tmp_path):
    ok, body = checked(tmp_path, free_ports()[0], once)
    assert not ok
    assert body["status"] == "unavailable"
    (reason,) = body["reasons"]
    assert "recognition service" in reason


def test_a_database_that_is_away_is_the_reason_and_its_address_is_not_told(service, tmp_path):
    (tmp_path / "occupied").write_text("a file, where the database's folder should be")
    database = "sqlite:///occupied/secret_name.db"
    ok, body = checked(tmp_path, service.rpc_port, once, database)
    assert not ok
    (reason,) = body["reasons"]
    assert "face library" in reason
    assert "secret_name" not in str(body)


@pytest.mark.attack
def test_who_has_no_key_is_told_what_fails_and_nothing_of_the_inside(service, tmp_path):
    (tmp_path / "occupied").write_text("a file, where the database's folder should be")

    async def work(one: Health, *_: Any) -> list[tuple[bool, dict[str, Any]]]:
        return [await one.check(trusted=False), await one.check(trusted=True)]

    (ok, told), (_, all_of_it) = checked(
        tmp_path, free_ports()[0], work, "sqlite:///occupied/secret_name.db"
    )
    assert not ok
    assert told == {
        "status": "unavailable",
        "reasons": [
            "The recognition service does not answer.",
            "The face library does not answer.",
        ],
    }
    assert len(all_of_it["reasons"]) == 2
    assert all_of_it["reasons"] != told["reasons"]


def test_asking_often_costs_one_inference(service, tmp_path):
    async def work(one: Health, pipeline: CountingPipeline, _: LibraryCalls) -> int:
        together = await asyncio.gather(*(one.check() for _ in range(50)))
        again = [await one.check() for _ in range(50)]
        assert all(ok for ok, _ in [*together, *again])
        return pipeline.asked

    assert checked(tmp_path, service.rpc_port, work) == 1


def test_a_picture_that_was_answered_just_now_is_sign_enough(service, tmp_path, monkeypatch):
    monkeypatch.setattr(health, "KEPT_S", 0.0)

    async def work(one: Health, pipeline: CountingPipeline, _: LibraryCalls) -> int:
        await one.check()
        assert pipeline.last_success > 0
        await one.check()
        return pipeline.asked

    assert checked(tmp_path, service.rpc_port, work) == 1


def test_a_database_that_hangs_is_the_reason_and_is_not_asked_over_and_over(
    service, tmp_path, monkeypatch
):
    monkeypatch.setattr(health, "KEPT_S", 0.0)

    async def work(one: Health, _: Pipeline, library: HangingLibrary) -> tuple[list[str], int]:
        await one.check()
        monkeypatch.setattr(health, "TIMEOUT_S", 0.01)
        _, body = await one.check()
        return body["reasons"], library.asked

    reasons, asked = checked(tmp_path, service.rpc_port, work, kind=HangingLibrary)
    assert reasons == ["The face library does not answer."]
    assert asked == 1


def test_a_shared_result_outlives_whoever_stops_waiting_for_it():
    async def run() -> tuple[int, str]:
        shared: SharedResult[str] = SharedResult(60.0)
        release, made = asyncio.Event(), 0

        async def make() -> str:
            nonlocal made
            made += 1
            await release.wait()
            return "result"

        impatient = asyncio.ensure_future(shared.get(make))
        patient = asyncio.ensure_future(shared.get(make))
        await asyncio.sleep(0)
        impatient.cancel()
        release.set()
        assert await shared.get(make) == await patient
        return made, await patient

    assert asyncio.run(run()) == (1, "result")


def test_a_shared_error_is_kept_as_well():
    async def run() -> int:
        shared: SharedResult[str | None] = SharedResult(60.0)
        made = 0

        async def make() -> str | None:
            nonlocal made
            made += 1
            raise ConnectionError

        for _ in range(3):
            with pytest.raises(ConnectionError):
                await shared.get(make)
        return made

    assert asyncio.run(run()) == 1
