"""The client's messages: on the wire those of Paddle Serving."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from google.protobuf import descriptor_pb2

from client.pipeline import messages
from paddle_fence.messages import METHOD, pipeline_messages
from tests.support.clients.message_samples import FILE, MODULES, packed, samples

NAMES = ("Request", "Response")
MADE_BEFORE = json.loads(FILE.read_text())[MODULES[1]]
UNUSED = "tensors"


def without_tensors(message: Any) -> Any:
    copied = type(message)()
    copied.CopyFrom(message)
    copied.ClearField(UNUSED)
    return copied


@pytest.mark.parametrize("name", NAMES)
def test_each_field_is_paddle_servings(name):
    def fields(module: Any) -> dict[str, tuple[int, int, int]]:
        message = descriptor_pb2.DescriptorProto()
        getattr(module, name).DESCRIPTOR.CopyToProto(message)
        return {one.name: (one.number, one.label, one.type) for one in message.field}

    theirs = fields(pipeline_messages())
    del theirs[UNUSED]
    assert fields(messages) == theirs
    own, other = (getattr(of, name).DESCRIPTOR for of in (messages, pipeline_messages()))
    assert own.full_name == other.full_name
    assert messages.METHOD == METHOD


@pytest.mark.parametrize("name", NAMES)
def test_messages_have_the_bytes_that_protobuf_3_20_made(name):
    own = getattr(messages, name)
    for theirs, made in zip(samples(pipeline_messages())[name], MADE_BEFORE[name]):
        read = own.FromString(base64.b64decode(made))
        known = {one.name: value for one, value in read.ListFields()}
        expected = without_tensors(theirs)
        assert packed(own(**known)) == packed(expected)
        # What is not known is kept, wherever it stands.
        again = type(theirs).FromString(read.SerializeToString())
        assert packed(again) == made
