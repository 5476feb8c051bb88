"""The two messages of the pipeline's gRPC call, on the wire those that Paddle Serving declares.

Its tensors are left out, which this service neither takes nor gives.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_PACKAGE = "baidu.paddle_serving.pipeline_serving"
# The call of gRPC that takes a Request and gives a Response.
METHOD = f"/{_PACKAGE}.PipelineService/inference"

_Field = descriptor_pb2.FieldDescriptorProto
_ONE, _MANY = _Field.LABEL_OPTIONAL, _Field.LABEL_REPEATED
# By message and field: number, how many, type.
_MESSAGES = {
    "Request": {
        "key": (1, _MANY, _Field.TYPE_STRING),
        "value": (2, _MANY, _Field.TYPE_STRING),
        "name": (4, _ONE, _Field.TYPE_STRING),
        "method": (5, _ONE, _Field.TYPE_STRING),
        "logid": (6, _ONE, _Field.TYPE_INT64),
        "clientip": (7, _ONE, _Field.TYPE_STRING),
    },
    "Response": {
        "err_no": (1, _ONE, _Field.TYPE_INT32),
        "err_msg": (2, _ONE, _Field.TYPE_STRING),
        "key": (3, _MANY, _Field.TYPE_STRING),
        "value": (4, _MANY, _Field.TYPE_STRING),
    },
}


def _classes() -> dict[str, Any]:
    """The messages' classes by name.

    In a pool of their own: Paddle Serving declares the same names, where it is installed.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name="pipeline_service.proto", package=_PACKAGE, syntax="proto3"
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, (number, label, kind) in fields.items():
            message.field.add(name=field, number=number, label=label, type=kind)
    pool: Any = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in _MESSAGES
    }


Request, Response = _classes().values()
