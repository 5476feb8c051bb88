"""Writes a Paddle inference model in Paddle Serving's format.

``paddle_serving_client.convert`` does the same but imports ``paddle.fluid``, which no
installable Paddle has any more. The format is the model's two files and a description of its
feed and fetch variables (message ``GeneralModelConfig``), as text and as a binary stream, once
for the server and once for the client.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from convert.errors import ConvertError
from convert.translation import Translation, Variable
from paddle_fence.messages import model_config_messages

MODEL_FILE = "inference.pdmodel"
PARAMS_FILE = "inference.pdiparams"
SERVER_DIR = "serving_server"
CLIENT_DIR = "serving_client"

# Type numbers of paddle_serving_client.io.var_type_conversion, by numpy's names.
_TYPE_NUMBERS = {
    "int64": 0,
    "float32": 1,
    "int32": 2,
    "float64": 3,
    "int16": 4,
    "float16": 5,
    "uint8": 7,
    "int8": 8,
    "bool": 9,
}


def write_serving_format(translation: Translation, paddle_dir: Path, model_dir: Path) -> None:
    """Copy the inference model of ``paddle_dir`` into ``model_dir`` with its configuration.

    ``paddle_dir`` holds ``inference.pdmodel`` and ``inference.pdiparams``; ``serving_server``
    and ``serving_client`` appear in ``model_dir``.

    Raises ConvertError for a variable of a type that Paddle Serving has no number for.
    """
    config = serving_config(translation)
    server_dir, client_dir = model_dir / SERVER_DIR, model_dir / CLIENT_DIR
    server_dir.mkdir(parents=True)
    client_dir.mkdir(parents=True)
    for name in (MODEL_FILE, PARAMS_FILE):
        shutil.copyfile(paddle_dir / name, server_dir / name)
    for directory, side in ((server_dir, "server"), (client_dir, "client")):
        stem = directory / f"serving_{side}_conf"
        stem.with_suffix(".prototxt").write_text(str(config), encoding="utf-8")
        stem.with_suffix(".stream.prototxt").write_bytes(config.SerializeToString())


def serving_config(translation: Translation) -> Any:
    """The ``GeneralModelConfig`` message for the variables of ``translation``.

    A feed variable's alias is its own name, not its role: Paddle Serving's LocalPredictor looks
    feeds up by the program's names in a table that it keyed by aliases.
    """
    config = model_config_messages().GeneralModelConfig()
    for variable in translation.inputs:
        feed = config.feed_var.add(name=variable.name, alias_name=variable.name)
        feed.feed_type = _type_number(variable)
        feed.is_lod_tensor = False
        feed.shape.extend(_sample_shape(variable.shape))
    for variable in translation.outputs:
        fetch = config.fetch_var.add(name=variable.name, alias_name=variable.alias)
        fetch.fetch_type = _type_number(variable)
        fetch.is_lod_tensor = False
        fetch.shape.extend(_sample_shape(variable.shape))
    return config


def _type_number(variable: Variable) -> int:
    try:
        return _TYPE_NUMBERS[variable.dtype]
    except KeyError:
        raise ConvertError(
            f"variable {variable.name} is {variable.dtype}; "
            f"Paddle Serving knows {', '.join(_TYPE_NUMBERS)}"
        ) from None


def _sample_shape(shape: Sequence[int]) -> list[int]:
    """The shape of one sample: without the batch and other dynamic dimensions."""
    return [size for size in shape if size >= 0]
