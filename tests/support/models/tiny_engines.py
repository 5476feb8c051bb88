"""A tiny model with OpenVINO's form, for tests of what runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from convert.engines.openvino_form import write_openvino_form
from convert.network import graph as ir
from convert.network.program import write_program
from inference.manifest import Manifest
from tests.support.models.graphs import graph_of, random
from tests.support.models.manifests import manifest_document, write_model

FP32 = {"engine": "openvino", "precision": "fp32"}
BF16 = {"engine": "openvino", "precision": "bf16"}
PADDLE_BF16 = {"engine": "paddle", "precision": "bf16"}


def write_tiny_engines(
    directory: Path, ways: list[dict[str, Any]] | None = None, seed: int = 1
) -> Path:
    """(N, 3, 8, 8) to an embedding (N, 4), with OpenVINO's form where `ways` names any.

    ways: what `convert` would have noted. seed: of the weights.
    """
    document = manifest_document("arcface", (3, 8, 8), {"embedding": (-1, 4)}, task="recognition")
    document["embedding"] = {"dim": 4}
    model_dir = write_model(directory, document)
    weight, bias, slope = random(seed, 4, 3, 3, 3), random(seed + 1, 4), random(seed + 2, 4)
    nodes = [
        ir.Conv("c", ["x"], weight, bias),
        ir.PRelu("p", ["c"], slope),
        ir.Mean("m", ["p"]),
    ]
    graph = graph_of((3, 8, 8), *nodes)
    written = write_program(graph, model_dir / "serving_server", input_aliases=["image"])
    document["inputs"][0]["name"] = written.inputs[0].name
    document["outputs"][0]["name"] = written.outputs[0].name
    rewrite(model_dir, document)
    if ways is not None:
        document["ways"] = ways
        document["openvino"] = write_openvino_form(Manifest.load(model_dir))
        rewrite(model_dir, document)
    return model_dir


def rewrite(model_dir: Path, document: dict[str, Any]) -> None:
    (model_dir / "model.yml").write_text(yaml.safe_dump(document), encoding="utf-8")


def document_of(model_dir: Path) -> dict[str, Any]:
    """What its manifest says."""
    found: dict[str, Any] = yaml.safe_load((model_dir / "model.yml").read_text(encoding="utf-8"))
    return found
