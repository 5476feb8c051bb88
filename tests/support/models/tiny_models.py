"""Paddle models small enough to be made and converted within a test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import paddle
import yaml

from convert.catalog import Catalog, Entry
from convert.conversion import convert
from convert.engines.completing import ways_here
from convert.model_directory import MANIFEST, locked
from convert.sources.fetch import Fetcher


def write_tiny_model(directory: Path, batch: int = -1, bias: float = 0.0) -> None:
    """Write ``inference.pdmodel`` and ``inference.pdiparams``: (N, 3, 8, 8) to (N, 4).

    batch: the batch dimension that the program is written with; 1 stands in its reshape, too.
    """
    directory.mkdir(parents=True, exist_ok=True)
    paddle.enable_static()
    try:
        program, startup = paddle.static.Program(), paddle.static.Program()
        scope = paddle.static.Scope()
        with paddle.static.program_guard(program, startup), paddle.static.scope_guard(scope):
            paddle.seed(1)
            image = paddle.static.data("x", [batch, 3, 8, 8], "float32")
            features = paddle.nn.Conv2D(3, 2, 3, bias_attr=False)(image)
            # As Paddle's dynamic graph writes a convolution's bias.
            shift = paddle.static.create_parameter([2], "float32")
            features = features + paddle.reshape(shift, [1, 2, 1, 1])
            rows = paddle.reshape(features, [batch, 72])
            embedding = paddle.nn.Linear(72, 4)(rows) + bias
            executor = paddle.static.Executor(paddle.CPUPlace())
            executor.run(startup)
            paddle.static.save_inference_model(
                str(directory / "inference"), [image], [embedding], executor, program=program
            )
    finally:
        paddle.disable_static()


def write_detector_stub(directory: Path) -> None:
    """Write an export with the variables of PaddleDetection's detectors, and nothing in it."""
    paddle.enable_static()
    try:
        program = paddle.static.Program()
        with paddle.static.program_guard(program, paddle.static.Program()):
            feeds = [
                paddle.static.data("im_shape", [-1, 2], "float32"),
                paddle.static.data("image", [-1, 3, -1, -1], "float32"),
                paddle.static.data("scale_factor", [-1, 2], "float32"),
            ]
            means = paddle.mean(feeds[1], axis=[2, 3])
            boxes = paddle.concat([means, feeds[0], feeds[2][:, :1]], axis=1)
            counts = paddle.cast(paddle.mean(feeds[2], axis=1), "int32")
            executor = paddle.static.Executor(paddle.CPUPlace())
            paddle.static.save_inference_model(
                str(directory / "inference"), feeds, [boxes, counts], executor, program=program
            )
            # A program without parameters gets no file for them.
            (directory / "inference.pdiparams").touch()
    finally:
        paddle.disable_static()


def operator_count(program_file: Path, kind: str) -> int:
    """How many operators of a kind the program in ``inference.pdmodel`` has."""
    paddle.enable_static()
    try:
        program = paddle.static.deserialize_program(program_file.read_bytes())
    finally:
        paddle.disable_static()
    return sum(operator.type == kind for operator in program.global_block().ops)


def tiny_entry(**changes: Any) -> Entry:
    """A catalog entry for :func:`write_tiny_model`, its source an address that nobody has."""
    values: dict[str, Any] = {
        "name": "tiny",
        "task": "recognition",
        "family": "arcface",
        "format": "paddle",
        "licence": {"name": "MIT"},
        "inputs": ["image"],
        "outputs": ["embedding"],
        "embedding": {"dim": 4},
        "sources": [
            {
                "url": "http://127.0.0.1:9/tiny.tar",
                "max_size": 1_000_000,
                "files": {"inference.pdmodel": None, "inference.pdiparams": None},
            }
        ],
        **changes,
    }
    return Entry.model_validate(values)


def catalog_of(*entries: Entry) -> Catalog:
    """A catalog of these entries and no packages."""
    return Catalog(packages={}, models={entry.name: entry for entry in entries})


def accept(model_dir: Path) -> None:
    """A check that every model passes."""


def without_engines(model_dir: Path) -> None:
    """As if every other engine than Paddle had been tried in vain."""
    manifest = model_dir / MANIFEST
    refused = [{**asdict(way), "refused": "a test"} for way in ways_here()]
    document = {**yaml.safe_load(manifest.read_text(encoding="utf-8")), "ways": refused}
    manifest.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")


def convert_tiny(
    work_dir: Path, source: Path | None = None, check: Callable[[Path], None] = accept
) -> Path:
    """Convert the tiny model into ``work_dir/models``; returns its directory there."""
    entry, models_dir = tiny_entry(), work_dir / "models"
    if source is None:
        source = work_dir / "export"
        write_tiny_model(source)
    with locked(models_dir):
        fetcher = Fetcher(catalog_of(entry), work_dir / "cache")
        convert(entry, models_dir, fetcher, source=source, check=check, add_engines=without_engines)
    return models_dir / entry.name
