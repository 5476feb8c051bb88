"""Paddle Serving behind its fence: it loads, and its messages are those of protobuf 3.20."""

from __future__ import annotations

import base64
import importlib
import json
import subprocess
import sys

import pytest

from paddle_fence import finder, generated, install
from paddle_fence.messages import model_config_messages, pipeline_messages
from tests.support.clients.message_samples import FILE, MODULES, packed, samples

MADE_BEFORE = json.loads(FILE.read_text())


@pytest.mark.parametrize("name", MODULES)
def test_messages_have_the_bytes_that_protobuf_3_20_made(name):
    made = {
        message: [packed(one) for one in several]
        for message, several in samples(importlib.import_module(name)).items()
    }
    assert made == MADE_BEFORE[name]


@pytest.mark.parametrize("name", MODULES)
def test_messages_of_protobuf_3_20_are_read(name):
    for message, several in samples(importlib.import_module(name)).items():
        for expected, text in zip(several, MADE_BEFORE[name][message]):
            read = type(expected)()
            read.MergeFromString(base64.b64decode(text))
            # Written again, since a field that is not a number is not equal to itself.
            assert packed(read) == packed(expected)


@pytest.mark.parametrize("part", ["messages", "internals", "pipeline", "stock_service"])
def test_every_part_that_the_project_uses_loads(part):
    module = importlib.import_module(f"paddle_fence.{part}")
    assert [name for name in getattr(module, "__all__", []) if not hasattr(module, name)] == []


def test_the_messages_are_the_ones_that_paddle_serving_itself_has():
    own = importlib.import_module(MODULES[1])
    assert pipeline_messages().Request is own.Request
    assert model_config_messages().GeneralModelConfig.DESCRIPTOR.full_name.endswith(
        "configure.GeneralModelConfig"
    )


def test_an_enumeration_has_its_values_as_names():
    fields = importlib.import_module(MODULES[4]).EngineDesc
    assert fields.REMOTE == fields.DESCRIPTOR.enum_values_by_name["REMOTE"].number == 2


def test_the_client_that_cannot_be_installed_says_so_where_it_is_used():
    client = importlib.import_module("paddle_serving_client")
    with pytest.raises(NotImplementedError, match="for Python 3"):
        client.Client()


def test_the_fence_is_put_up_once_and_before_all_other_finders():
    install()
    install()
    assert [type(one) for one in sys.meta_path].count(finder.Finder) == 1


def test_other_generated_modules_are_left_alone():
    assert finder.Finder().find_spec("google.protobuf.any_pb2", None) is None
    assert finder.Finder().find_spec("paddle_serving_server.nothing_pb2", []) is None


@pytest.mark.parametrize(
    "source",
    [
        "DESCRIPTOR = pool.Default().AddSerializedFile(b'\\n\\x01a')",
        "DESCRIPTOR = d.FileDescriptor(name='a', serialized_pb=b'\\n\\x01a')",
        "DESCRIPTOR = d.FileDescriptor(name='a', serialized_pb=_b('\\n\\x01a'))",
    ],
)
def test_descriptions_are_found_as_each_compiler_wrote_them(source):
    assert generated.serialized_description(source) == b"\n\x01a"


@pytest.mark.parametrize("source", ["x = 1", "f(serialized_pb=open('x'))", "f(serialized_pb=x)"])
def test_a_file_that_describes_nothing_is_refused_and_never_run(source):
    with pytest.raises(ValueError, match=r"no description|malformed"):
        generated.serialized_description(source)


def test_loading_paddle_serving_leaves_ctrl_c_to_whoever_runs_the_program():
    program = (
        "import paddle_fence.pipeline, paddle_fence.stock_service, signal, sys\n"
        "loaded = 'paddle_serving_server.serve' in sys.modules\n"
        "print(loaded, signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout.split()[-2:] == ["True", "True"], ran.stderr
