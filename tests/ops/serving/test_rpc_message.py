"""Messages of gRPC are read as protobuf reads them, and bombs are refused."""

from __future__ import annotations

import os
import random

import pytest

from bench.attacks.calls import MALFORMED_MESSAGES
from ops.errors import ErrorKind, ServiceError
from ops.serving.rpc_message import MalformedMessageError, read_message
from paddle_fence.messages import pipeline_messages

MESSAGES = pipeline_messages()
pytestmark = pytest.mark.attack


def test_a_message_is_read_as_protobuf_reads_it():
    chance = random.Random(3)
    for _ in range(300):
        words = ["", "image", "options", "größe", "a" * chance.randrange(40_000)]
        request = MESSAGES.Request(
            key=chance.choices(words, k=chance.randrange(5)),
            value=chance.choices(words, k=chance.randrange(5)),
            name=chance.choice(["", "ArcFace"]),
            method=chance.choice(["", "inference"]),
            logid=chance.choice([0, 7, 2**40, -1]),
            clientip="127.0.0.1",
        )
        found = read_message(request.SerializeToString(), 16)
        assert (found.keys, found.values) == (list(request.key), list(request.value))
        assert (found.name, found.tensors) == (request.name, False)


def test_tensors_are_seen_and_not_unpacked():
    request = MESSAGES.Request(key=["image"], value=["x"])
    request.tensors.add().name = "image"
    assert read_message(request.SerializeToString(), 16).tensors


@pytest.mark.parametrize("name", MALFORMED_MESSAGES)
def test_what_is_no_message_is_malformed(name):
    with pytest.raises(MalformedMessageError):
        read_message(MALFORMED_MESSAGES[name], 16)


@pytest.mark.parametrize("field", [b"\x0a\x00", b"\x12\x00", b"\x48\x00", b"\x5a\x00", b"\x1a\x00"])
def test_a_message_of_millions_of_fields_is_refused_after_a_few(field):
    with pytest.raises(ServiceError) as caught:
        read_message(field * 5_000_000, 16)
    assert caught.value.kind is ErrorKind.TOO_MANY_PICTURES


def test_noise_is_refused_or_read_and_nothing_else():
    for _ in range(2000):
        try:
            read_message(os.urandom(random.randrange(60)), 16)
        except ServiceError:
            continue
