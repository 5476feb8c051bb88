"""Made-up requests against the OpenAPI document: no fault, and every answer is as it says."""

from __future__ import annotations

import itertools
import os

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.gateway.client import FACE, PICTURE, SIMILAR, App

# Made-up cases of each operation; 110 of each make 5,000 in all.
CASES = int(os.environ.get("SCHEMA_CASES", "6"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
_TURNS = itertools.count()
SESSION = requests.Session()

schema = schemathesis.pytest.from_fixture("described")


@pytest.fixture(scope="module")
def described(service):
    """The document of a service whose default app has whom its examples speak of."""
    app = App(service.gateway_url, "")
    for group in ("staff", "visitors"):
        assert app.code("group/add", group_id=group) in (0, 223101)
    for user, image in (("ada", FACE), ("bob", SIMILAR)):
        app.code("face/add", **{**PICTURE, "image": image}, group_id="staff", user_id=user)
    made = schemathesis.openapi.from_url(f"{service.gateway_url}/openapi.json")
    # Hundreds of cases at the bounds of each field, most of them told apart by nothing here.
    made.config.phases.coverage.enabled = False
    return made


def with_a_face(body):
    """Every third picture is one; made-up base64 never is."""
    if isinstance(body, list):
        return [with_a_face(one) for one in body]
    if isinstance(body, dict) and isinstance(body.get("image"), str) and next(_TURNS) % 3 == 0:
        return {**body, "image": FACE}
    return body


@schema.parametrize()
@settings(
    max_examples=CASES,
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.timeout(900)
def test_made_up_requests_are_answered_as_the_document_says(case):
    case.body = with_a_face(case.body)
    case.call_and_validate(checks=CHECKS, timeout=60, session=SESSION)
