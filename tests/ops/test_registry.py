"""The code behind the table of stages, and the models that a stage takes."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.manifest import ManifestError
from ops.local import LocalPipeline
from ops.registry import worker_class
from ops.worker import ModelWorker, Worker
from settings.stages import STAGES
from tests.support.models.manifests import manifest_document, write_model


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_has_a_worker_and_one_for_models_where_it_has_a_task(stage: str) -> None:
    kind = worker_class(stage)
    assert issubclass(kind, Worker)
    assert issubclass(kind, ModelWorker) is (STAGES[stage].task is not None)


def test_a_model_for_another_stage_is_refused(tmp_path: Path) -> None:
    document = manifest_document("facemesh", (3, 8, 8), {"mesh": (-1, 3)}, task="landmark")
    model = write_model(tmp_path / "m", document)
    with pytest.raises(ManifestError, match="test_facemesh is for landmark, not for detection"):
        LocalPipeline({"Detection": [model]})
