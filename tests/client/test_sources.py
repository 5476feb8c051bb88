"""What is written once and stands in two places: the synchronous client, the numbers of errors."""

from __future__ import annotations

import subprocess
import sys

from client import ErrorNumber
from gateway.errors import ErrorCode
from tests.support.service import ROOT


def test_the_synchronous_client_is_the_asynchronous_one_without_its_awaits():
    command = [sys.executable, "scripts/sync_client.py", "--print"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert (ROOT / "client/rest/face_service.py").read_text() == made, "run: make format"


def test_every_error_of_the_gateway_has_its_number_in_the_client():
    assert {one.name: one.value for one in ErrorNumber} == {
        kind.name: kind.number for kind in ErrorCode
    }
