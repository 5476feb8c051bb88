"""Messages out of a module that protobuf's compiler generated, without running that module.

What an old compiler wrote calls functions that protobuf 4 took away. But each such module holds the
description of its messages as bytes, from which any protobuf makes the classes.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.internal import enum_type_wrapper


def serialized_description(source: str) -> bytes:
    """The serialised ``FileDescriptorProto`` in the text of a generated module.

    It is an argument of ``FileDescriptor(serialized_pb=...)`` or of ``AddSerializedFile(...)``, as
    bytes or as text of which each character is a byte. Raises ValueError where there is none.
    """
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        arguments = [one.value for one in node.keywords if one.arg == "serialized_pb"]
        if isinstance(node.func, ast.Attribute) and node.func.attr == "AddSerializedFile":
            arguments = node.args
        if arguments:
            return _bytes(arguments[0])
    raise ValueError("no description of messages in it")


def _bytes(argument: ast.expr) -> bytes:
    # _b('...') makes bytes of text; compilers wrote it while Python 2 was read as well.
    if isinstance(argument, ast.Call) and getattr(argument.func, "id", None) == "_b":
        (argument,) = argument.args
    value = ast.literal_eval(argument)
    return value if isinstance(value, bytes) else value.encode("latin-1")


@lru_cache(maxsize=None)
def description(path: Path) -> Any:
    """The ``FileDescriptor`` of a generated module's file.

    Each in a pool of its own: several of Paddle Serving's files describe the same names. Read once,
    so that a file's classes are the same by whatever name it is imported.
    """
    serialized = serialized_description(path.read_text(encoding="utf-8"))
    pool: Any = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(serialized)
    return pool.FindFileByName(descriptor_pb2.FileDescriptorProto.FromString(serialized).name)


def fill(module: ModuleType, path: Path) -> ModuleType:
    """Put into `module` what the generated file at `path` would have put there.

    That is DESCRIPTOR, a class for each message, and the enumerations with their values. Services
    stay out: gRPC's own generated modules have them.
    """
    file = description(path)
    names: dict[str, Any] = {"DESCRIPTOR": file}
    for name, message in file.message_types_by_name.items():
        names[name] = message_factory.GetMessageClass(message)
    for name, enum in file.enum_types_by_name.items():
        names[name] = enum_type_wrapper.EnumTypeWrapper(enum)
        names.update((value.name, value.number) for value in enum.values)
    vars(module).update(names)
    return module
