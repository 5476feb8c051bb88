"""ONNX to Paddle by X2Paddle, which runs in an environment of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from convert.environment import ROOT, environment_python, last_line
from convert.errors import ConvertError
from convert.onnx.comparison import compare_with_onnxruntime, run_paddle
from convert.paddle import published_model
from convert.translation import Translation

ENVIRONMENT = ROOT / ".venv-x2paddle"
LOCK_FILE = ROOT / "requirements-x2paddle.lock"
PYTHONS = ("3.12", "3.11", "3.10", "3.9")  # that the lock's Paddle has a build for
JOB = Path(__file__).with_name("x2paddle_job.py")
TIMEOUT = 600  # seconds; the known models take two


def translate(
    onnx_file: Path,
    out_dir: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    input_size: tuple[int, int] | None = None,
    environment: Path = ENVIRONMENT,
) -> Translation:
    """Write ``onnx_file`` as a Paddle inference model with a dynamic batch into ``out_dir``.

    inputs, outputs: the roles of the graph's inputs and outputs, in its order.
    input_size: height and width in pixels, for a graph that leaves them open.

    Raises ConvertError where X2Paddle or its environment fails, and VerificationError where the
    outputs differ from onnxruntime's (compared where onnxruntime is installed).
    """
    python = environment_python(environment, LOCK_FILE, "X2Paddle", PYTHONS)
    out_dir.mkdir(parents=True, exist_ok=True)
    work_dir = out_dir.with_name(f"{out_dir.name}-x2paddle")
    work_dir.mkdir()
    spec = {"onnx": str(onnx_file.resolve()), "out_dir": str(work_dir.resolve())}
    spec_file = work_dir / "spec.json"
    spec_file.write_text(json.dumps({**spec, "input_size": input_size}))
    _run_job(python, spec_file, onnx_file.name)
    exported = published_model.translate(
        work_dir / "x2paddle", out_dir, inputs=inputs, outputs=outputs, input_size=input_size
    )
    translation = _with_known_shapes(exported, out_dir)
    compare_with_onnxruntime(onnx_file, out_dir, translation)
    return translation


def _run_job(python: Path, spec_file: Path, name: str) -> None:
    # -I: neither PYTHONPATH nor this package's directory, whose modules are not for X2Paddle.
    try:
        process = subprocess.run(
            [str(python), "-I", str(JOB.resolve()), str(spec_file.resolve())],
            cwd=spec_file.parent,  # X2Paddle writes beside itself
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ConvertError(f"X2Paddle has not finished {name} in {TIMEOUT} s") from error
    if process.returncode != 0:
        raise ConvertError(f"X2Paddle cannot convert {name}: {last_line(process.stdout)}")


def _with_known_shapes(exported: Translation, paddle_dir: Path) -> Translation:
    """The variables with the sizes that X2Paddle's program leaves open, taken from one run."""
    feeds = {v.name: np.zeros((1, *v.shape[1:]), v.dtype) for v in exported.inputs}
    results = run_paddle(paddle_dir, feeds)
    outputs = [replace(v, shape=(-1, *results[v.name].shape[1:])) for v in exported.outputs]
    return Translation(inputs=exported.inputs, outputs=outputs)
