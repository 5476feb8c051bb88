"""What a client may send, and what it is told when it sends something else."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from bench.attacks.pictures import webp_of_one_colour
from inference.runner import Timing
from ops.errors import ErrorKind, ServiceError, error_table
from ops.pictures.pixel_budget import PixelBudget
from ops.serving.http_server import parse_body
from ops.stages.request import RequestWorker, parse_request
from settings.config import Limits
from tests.support import pictures
from tests.support.pictures import ONE

LIMITS = Limits(request_pictures=3, picture_pixels=1_000_000, faces=20)


def parse(*pairs: tuple[str, str]):
    return parse_request([k for k, _ in pairs], [v for _, v in pairs], LIMITS, 30.0)


def refusal(*pairs: tuple[str, str]) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        parse(*pairs)
    return caught.value


def test_images_keep_their_order_and_options_are_read():
    request = parse(("image", "a"), ("options", '{"max_faces": 2}'), ("image", "b"))
    assert [picture.encoded for picture in request.pictures] == ["a", "b"]
    assert request.options.max_faces == 2
    assert request.deadline == 30.0


def test_unknown_keys_are_refused_by_name():
    error = refusal(("image", "a"), ("picture", "b"))
    assert error.kind is ErrorKind.UNKNOWN_KEY
    assert "'picture'" in error.message


def test_keys_without_values_and_requests_without_image_are_malformed():
    assert refusal(("options", "{}")).kind is ErrorKind.MALFORMED_REQUEST
    with pytest.raises(ServiceError) as caught:
        parse_request(["image", "image"], ["a"], LIMITS, 30.0)
    assert caught.value.kind is ErrorKind.MALFORMED_REQUEST


def test_too_many_pictures_are_refused():
    assert refusal(*[("image", "a")] * 4).kind is ErrorKind.TOO_MANY_PICTURES


@pytest.mark.parametrize(
    "options",
    [
        "not json",
        "[]",
        "[" * 4000,
        '{"max_faces": 0}',
        '{"max_faces": 21}',
        '{"max_faces": "3"}',
        '{"max_faces": true}',
        '{"min_score": 1.5}',
        '{"min_score": NaN}',
        '{"min_size": -1}',
        '{"smallest_face": -1}',
        '{"want": "embedding"}',
        '{"want": ["everything"]}',
        '{"want": [[1]]}',
        '{"embedding_format": "pickle"}',
        '{"aligned": 1}',
        '{"unknown": 1}',
        '{"want": ["' + "x" * 5000 + '"]}',
    ],
)
def test_malformed_options_are_refused_in_one_short_line(options):
    error = refusal(("image", "a"), ("options", options))
    assert error.kind is ErrorKind.MALFORMED_OPTIONS
    assert len(error.message) < 300
    assert "\n" not in error.message
    # Words of Python or of the library that checks.
    for word in ("frozenset", "Input", "input", "valid", "None", "True", "'"):
        assert word not in error.message, error.message


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ('{"max_faces": "3"}', "max_faces: a whole number is expected."),
        ('{"max_faces": 2.5}', "max_faces: a whole number is expected."),
        ('{"max_faces": null}', "max_faces: a whole number is expected."),
        ('{"max_faces": 0}', "max_faces: at least 1 is expected."),
        ('{"min_size": 1e9}', "min_size: at most 100000 is expected."),
        ('{"min_score": 1.5}', "min_score: at most 1 is expected."),
        ('{"min_score": "high"}', "min_score: a number is expected."),
        ('{"min_score": NaN}', "options are not JSON."),
        ('{"want": "embedding"}', "want: a list of strings is expected."),
        ('{"want": {"embedding": true}}', "want: a list of strings is expected."),
        ('{"embedding_format": 1}', 'embedding_format: "list" or "base64" is expected.'),
        ('{"aligned": "yes"}', "aligned: true or false is expected."),
        ('{"colour": 1}', "colour: there is no such option."),
    ],
)
def test_what_is_wrong_with_an_option_is_said_in_words_of_json(options, said):
    assert f" {said} " in refusal(("image", "a"), ("options", options)).message


def test_a_whole_number_may_be_written_with_a_fraction_of_nothing():
    options = parse(("image", "a"), ("options", '{"max_faces": 3.0, "min_score": 1.0}')).options
    assert (options.max_faces, options.min_score) == (3, 1.0)


@pytest.mark.parametrize("value", ["1", "0"])
def test_a_wish_for_the_profile_changes_nothing(value):
    request = parse(("image", "a"), ("pipeline.profile", value))
    assert [picture.encoded for picture in request.pictures] == ["a"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"{not json", ErrorKind.MALFORMED_REQUEST),
        (b"[]", ErrorKind.MALFORMED_REQUEST),
        (b"[" * 100_000, ErrorKind.MALFORMED_REQUEST),
        (b'{"key": "image", "value": ["a"]}', ErrorKind.MALFORMED_REQUEST),
        (b'{"key": ["image"], "value": [1]}', ErrorKind.MALFORMED_REQUEST),
        (b'{"key": [], "value": [], "colour": 1}', ErrorKind.UNKNOWN_KEY),
        (b'{"tensors": [{"name": "image", "elem_type": 13}]}', ErrorKind.UNSUPPORTED_TENSOR),
        (b'{"key": ["\xff"], "value": []}', ErrorKind.MALFORMED_REQUEST),
    ],
)
def test_a_body_that_is_no_request_is_refused(body, kind):
    with pytest.raises(ServiceError) as caught:
        parse_body(body)
    assert caught.value.kind is kind


def test_the_fields_of_paddle_servings_gateway_are_taken():
    body = b'{"key": ["image"], "value": ["a"], "logid": 7, "clientip": "x", "tensors": []}'
    assert parse_body(body) == (["image"], ["a"])


def test_one_bad_picture_leaves_the_others_alone():
    good = pictures.base64_of(pictures.encode(np.zeros((5, 7, 3), np.uint8), "PNG"))
    request = parse(("image", good), ("image", "!"), ("image", good))
    request.deadline = time.monotonic() + 10
    RequestWorker(LIMITS, PixelBudget(1000, 1000)).run([request], Timing())
    assert [picture.error is None for picture in request.pictures] == [True, False, True]
    assert (request.pictures[2].width, request.pictures[2].height) == (7, 5)
    assert request.pictures[1].error.kind is ErrorKind.NOT_BASE64
    assert request.reservation.pixels == 70
    assert all(picture.encoded is None for picture in request.pictures)


def test_a_request_is_postponed_until_there_is_room_for_its_pixels():
    good = pictures.base64_of(pictures.encode(np.zeros((5, 7, 3), np.uint8), "PNG"))
    budget = PixelBudget(40, 40)
    worker = RequestWorker(LIMITS, budget)
    first, second = parse(("image", good)), parse(("image", good))
    for request in (first, second):
        request.deadline = time.monotonic() + 10
    worker.run([first, second], Timing())
    assert not first.postponed
    assert second.postponed
    assert second.pictures[0].pixels is None
    assert not worker.can_resume(second)
    budget.release(first.reservation)
    assert worker.can_resume(second)
    worker.run([second], Timing())
    assert not second.postponed
    assert second.pictures[0].pixels.shape == (5, 7, 3)


def test_a_request_whose_pictures_never_fit_is_refused_at_once():
    request = parse(*[("image", pictures.base64_of(webp_of_one_colour(600, 600)))] * 3)
    request.deadline = time.monotonic() + 10
    RequestWorker(LIMITS, PixelBudget(1_000_000, 1_000_000)).run([request], Timing())
    assert request.error.kind is ErrorKind.REQUEST_TOO_LARGE
    assert not request.postponed


def test_a_picture_there_is_no_memory_for_makes_the_service_busy_and_is_not_called_broken(
    monkeypatch,
):
    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr("ops.pictures.pixels.cv2.imdecode", no_memory)
    request = parse(("image", ONE))
    request.deadline = time.monotonic() + 10
    RequestWorker(LIMITS, PixelBudget(1_000_000, 1_000_000)).run([request], Timing())
    assert request.error.kind is ErrorKind.BUSY


def test_error_numbers_are_unique_and_all_in_the_table():
    codes = [kind.code for kind in ErrorKind]
    assert len(codes) == len(set(codes))
    assert all(f"| {code} |" in error_table() for code in codes)


@pytest.mark.parametrize("name", ["docs/wire-format.md", "docs/zh/wire-format.md"])
def test_the_readmes_list_every_error(name):
    text = (Path(__file__).resolve().parents[3] / name).read_text(encoding="utf-8")
    for kind in ErrorKind:
        assert f"| {kind.code} | {kind.name} |" in text
