"""The pipeline's figures, as a replica writes them."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from ops import figures
from ops.figures import Figures


def written_for(seconds, file):
    """Has figures written to a file for so long."""

    async def run():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(Figures(0).keep_written(file), seconds)

    asyncio.run(run())


@pytest.fixture(autouse=True)
def _short_intervals(monkeypatch):
    monkeypatch.setattr(figures, "INTERVAL_S", 0.01)


def test_figures_are_written_again_and_again(tmp_path):
    file = tmp_path / "pipeline.prom"
    written_for(0.5, file)
    assert "face_pipeline_requests_per_second" in file.read_text()
    assert [one.name for one in tmp_path.iterdir()] == [file.name]


def test_a_file_that_cannot_be_written_is_complained_of_once_and_stops_nothing(tmp_path, caplog):
    written_for(0.5, tmp_path / "nowhere" / "pipeline.prom")
    told = [record.levelname for record in caplog.records if record.name == "ops.figures"]
    assert told == ["WARNING"]


def test_a_stage_that_works_all_the_time_has_a_load_of_one(tmp_path):
    one = Figures(0)
    stage = one.stage("Detection", 2, lambda: 3)
    stage.step(4, dict.fromkeys(figures.ACTIONS, 1000.0))
    one.write(tmp_path / "pipeline.prom")
    text = (tmp_path / "pipeline.prom").read_text()
    assert 'face_pipeline_stage_load{replica="0",stage="Detection"} 1.0' in text
    assert 'face_pipeline_queue_length{replica="0",stage="Detection"} 3.0' in text
