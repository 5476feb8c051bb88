"""Messages of Paddle Serving, filled in a way that every protobuf repeats, and their bytes.

``python -m tests.support.clients.message_samples``, with Python 3.9, protobuf 3.20 and Paddle
Serving's packages installed, prints what stands in
`messages_of_protobuf_3_20.json` beside this file.
"""

from __future__ import annotations

import base64
import importlib
import json
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES = (
    "paddle_serving_app.proto.general_model_config_pb2",
    "paddle_serving_server.pipeline.proto.pipeline_service_pb2",
    "paddle_serving_server.proto.general_model_config_pb2",
    "paddle_serving_server.proto.general_model_service_pb2",
    "paddle_serving_server.proto.server_configure_pb2",
)
FILE = Path(__file__).with_name("messages_of_protobuf_3_20.json")
_EACH = 3
_WORDS = ("", "image", "größe", "人脸", "a" * 200)
# By the wire format's names of types (descriptor.proto): what is put into a field.
_VALUES = {
    "double": (0.0, -1.5, 1e300, float("inf")),
    "float": (0.0, -1.5, 0.25, float("inf")),
    "int32": (0, 1, -1, 2**31 - 1),
    "int64": (0, 1, -1, -(2**63)),
    "uint32": (0, 1, 300, 2**32 - 1),
    "uint64": (0, 1, 300, 2**64 - 1),
    "bool": (False, True),
    "string": _WORDS,
    "bytes": (b"", b"\0\xff", b"a" * 200),
}
_TYPES = {
    1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32",
    8: "bool", 9: "string", 12: "bytes", 13: "uint32",
}  # fmt: skip


def samples(module: ModuleType) -> dict[str, list[Any]]:
    """By the messages' names: an empty one and some that are filled."""
    found = {}
    for name in sorted(module.DESCRIPTOR.message_types_by_name):
        chance = random.Random(name)
        found[name] = [getattr(module, name)() for _ in range(_EACH + 1)]
        for message in found[name][1:]:
            _fill(message, chance)
    return found


def _fill(message: Any, chance: random.Random) -> None:
    """Give most of the fields a value, to several of those that repeat."""
    for field in message.DESCRIPTOR.fields:
        if chance.random() > 0.8:
            continue
        content = getattr(message, field.name)
        if field.message_type is not None and field.message_type.GetOptions().map_entry:
            # One entry: of several the order is protobuf's own affair.
            key, value = field.message_type.fields
            content[_value(key, chance)] = _value(value, chance)
        elif hasattr(content, "add"):
            for _ in range(chance.randrange(1, 4)):
                _fill(content.add(), chance)
        elif hasattr(content, "extend"):
            content.extend(_value(field, chance) for _ in range(chance.randrange(1, 4)))
        elif field.message_type is not None:
            content.SetInParent()
            _fill(content, chance)
        else:
            setattr(message, field.name, _value(field, chance))


def _value(field: Any, chance: random.Random) -> Any:
    if field.enum_type is not None:
        return chance.choice([value.number for value in field.enum_type.values])
    return chance.choice(_VALUES[_TYPES[field.type]])


def packed(message: Any) -> str:
    """base64 of its bytes. What is required may be missing: the fields are filled by chance."""
    return base64.b64encode(message.SerializePartialToString()).decode("ascii")


def main() -> None:
    """Print the bytes that this Python's protobuf makes."""
    made = {
        name: {
            message: [packed(one) for one in several]
            for message, several in samples(importlib.import_module(name)).items()
        }
        for name in MODULES
    }
    json.dump(made, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
