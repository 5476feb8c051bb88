"""The client scripts and the tracer's reader against the running service."""

from __future__ import annotations

import json
import subprocess
import sys

import cv2
import pytest

from tests.conftest import ROOT
from tests.support.service import wait_until


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(params=["http", "rpc"])
def script(request, service) -> list[str]:
    if request.param == "http":
        return ["pipeline_http_client.py", "--url", service.url]
    return ["pipeline_rpc_client.py", "--address", f"127.0.0.1:{service.rpc_port}"]


def test_without_arguments_the_sample_face_is_found(script):
    done = run(*script, "--json")
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    (face,) = json.loads(line)["images"][0]["faces"]
    assert len(face["embedding"]) == 128


def test_a_picture_with_the_face_drawn_in_is_saved(script, tmp_path):
    done = run(*script, "--save", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (saved,) = tmp_path.iterdir()
    assert cv2.imread(str(saved)).shape == (512, 512, 3)


def test_a_load_ends_with_throughput_and_latency(script):
    done = run(*script, "--repeat", "20", "--concurrency", "4", "--no-table")
    assert done.returncode == 0, done.stderr
    assert "20 of 20 answered" in done.stdout + done.stderr
    assert "p99" in done.stdout + done.stderr


def test_a_file_that_is_no_picture_fails_with_the_services_code(script, tmp_path):
    (tmp_path / "text.jpg").write_bytes(b"no picture at all")
    done = run(*script, str(tmp_path), "--json")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_the_tracers_reader_names_every_stage(service):
    trace = service.directory / "PipelineServingLogs" / "pipeline.tracer"
    run("pipeline_http_client.py", "--url", service.url, "--repeat", "30")

    def complete() -> bool:
        done = run("-m", "tracer", str(trace), "--busy")
        return done.returncode == 0 and all(
            name in done.stdout for name in ("Request", "Detection", "Landmark", "ArcFace", "p99")
        )

    assert wait_until(complete, 15)
