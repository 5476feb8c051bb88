"""The code behind the table of stages."""

from __future__ import annotations

import pytest

from ops.registry import worker_class
from ops.worker import ModelWorker, Worker
from settings.stages import STAGES


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_a_worker_and_one_for_models_where_it_has_a_task(stage: str) -> None:
    kind = worker_class(stage)
    assert issubclass(kind, Worker)
    assert issubclass(kind, ModelWorker) is (STAGES[stage].task is not None)
