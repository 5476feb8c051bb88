"""The messages of an ONNX file, as far as a network in single precision needs them.

The `onnx` package would read them too, but brings 30 MB and its dependencies for it, and only the
tools of developers need it otherwise. Field numbers are those of the public ``onnx.proto3``, which
never change; fields that stand here not are skipped by the parser.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from convert.network.graph import GraphError

_KINDS = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "float": _KINDS.TYPE_FLOAT,
    "int32": _KINDS.TYPE_INT32,
    "int64": _KINDS.TYPE_INT64,
    "double": _KINDS.TYPE_DOUBLE,
    "string": _KINDS.TYPE_STRING,
    "bytes": _KINDS.TYPE_BYTES,
}
# A message's fields: name, number, type; a type in brackets is repeated.
_MESSAGES: dict[str, tuple[tuple[str, int, str], ...]] = {
    "Model": (("ir_version", 1, "int64"), ("graph", 7, "Graph"), ("opset_import", 8, "[Opset]")),
    "Opset": (("domain", 1, "string"), ("version", 2, "int64")),
    "Graph": (
        ("node", 1, "[Node]"),
        ("name", 2, "string"),
        ("initializer", 5, "[Tensor]"),
        ("input", 11, "[ValueInfo]"),
        ("output", 12, "[ValueInfo]"),
    ),
    "Node": (
        ("input", 1, "[string]"),
        ("output", 2, "[string]"),
        ("name", 3, "string"),
        ("op_type", 4, "string"),
        ("attribute", 5, "[Attribute]"),
        ("domain", 7, "string"),
    ),
    "Attribute": (
        ("name", 1, "string"),
        ("f", 2, "float"),
        ("i", 3, "int64"),
        ("s", 4, "bytes"),
        ("t", 5, "Tensor"),
        ("floats", 7, "[float]"),
        ("ints", 8, "[int64]"),
        ("strings", 9, "[bytes]"),
        ("type", 20, "int32"),
    ),
    "Tensor": (
        ("dims", 1, "[int64]"),
        ("data_type", 2, "int32"),
        ("float_data", 4, "[float]"),
        ("int32_data", 5, "[int32]"),
        ("int64_data", 7, "[int64]"),
        ("name", 8, "string"),
        ("raw_data", 9, "bytes"),
        ("double_data", 10, "[double]"),
        ("data_location", 14, "int32"),
    ),
    "ValueInfo": (("name", 1, "string"), ("type", 2, "Type")),
    "Type": (("tensor_type", 1, "TensorType"),),
    "TensorType": (("elem_type", 1, "int32"), ("shape", 2, "Shape")),
    "Shape": (("dim", 1, "[Dimension]"),),
    "Dimension": (("dim_value", 1, "int64"), ("dim_param", 2, "string")),
}


def read_model(content: bytes) -> Any:
    """The message ``Model`` of a file's bytes. Raises GraphError for what is none."""
    try:
        model = _model_class().FromString(content)
    except DecodeError as error:
        raise GraphError("it is no ONNX model") from error
    if not model.graph.node or not model.opset_import:
        raise GraphError("it is no ONNX model")
    return model


def _model_class() -> Any:
    package = "face_serving.onnx"
    file = descriptor_pb2.FileDescriptorProto(name="onnx.proto3", package=package, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            repeated = kind.startswith("[")
            kind = kind.strip("[]")
            added = message.field.add(name=field, number=number)
            added.label = _KINDS.LABEL_REPEATED if repeated else _KINDS.LABEL_OPTIONAL
            if kind in _SCALARS:
                added.type = _SCALARS[kind]
            else:
                added.type, added.type_name = _KINDS.TYPE_MESSAGE, f".{package}.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.Model"))
