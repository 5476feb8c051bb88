"""Paddle Serving's messages, and nothing else of it.

Importing its generated modules by name would run the packages around them, which make a log
directory in the working directory and take over the root logger. They are found by their place.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

from paddle_fence.generated import fill

# The call of gRPC that takes a Request and gives a Response.
METHOD = "/baidu.paddle_serving.pipeline_serving.PipelineService/inference"


def pipeline_messages() -> ModuleType:
    """``Request``, ``Response`` and ``Tensor`` of the pipeline.

    Raises ImportError where Paddle Serving is not installed.
    """
    return _messages("pipeline/proto/pipeline_service_pb2.py")


def model_config_messages() -> ModuleType:
    """``GeneralModelConfig``: what goes into a model and what comes out.

    Raises ImportError where Paddle Serving is not installed.
    """
    return _messages("proto/general_model_config_pb2.py")


def _messages(place: str) -> ModuleType:
    package = importlib.util.find_spec("paddle_serving_server")  # finds, does not import
    if package is None or not package.submodule_search_locations:
        raise ImportError("paddle-serving-server is not installed: run make setup")
    path = Path(package.submodule_search_locations[0], place)
    return fill(ModuleType(f"{__name__}.{path.stem}"), path)
