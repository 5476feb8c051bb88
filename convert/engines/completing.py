"""Adds to a converted model what other engines need, and what it was found to be right with."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from convert.apart import run_apart
from convert.engines.openvino_form import digests
from convert.model_directory import MANIFEST, put_in_place, work_directory
from inference.engines.base import BF16, OPENVINO, PADDLE, REFERENCE, Way
from inference.engines.choice import ON_PROCESSOR
from inference.engines.openvino_engine import is_installed
from inference.manifest import Manifest, Verified
from inference.processor import can_imitate_bf16, has_bf16, processor_flags
from settings.yaml_file import read_yaml

TIMEOUT = 300  # seconds for all ways of a model; the slowest known takes fifteen


def ways_here() -> list[Way]:
    """The ways that can be verified on this machine, Paddle in fp32 not among them.

    OpenVINO's bf16 is imitated where the processor has none.
    """
    flags = processor_flags()
    return [
        way
        for way in ON_PROCESSOR
        if way != REFERENCE
        and (way.engine == PADDLE or is_installed())
        and (way.precision != BF16 or _can_check_bf16(way, flags))
    ]


def _can_check_bf16(way: Way, flags: frozenset[str]) -> bool:
    # Paddle's imitation fails on networks that it runs in real bf16.
    return has_bf16(flags) or (way.engine == OPENVINO and can_imitate_bf16(flags))


def missing_ways(model_dir: Path) -> list[Way]:
    """Those of them that nobody has looked at, all where OpenVINO's form is not as it was made.

    What failed when it was imitated is looked at again where it need not be.
    Raises ManifestError for a model that is not there.
    """
    manifest = Manifest.load(model_dir)
    wanted = ways_here()
    if manifest.openvino != digests(manifest.openvino_path.parent):
        return wanted
    return [way for way in wanted if _is_missing(manifest, way)]


def _is_missing(manifest: Manifest, way: Way) -> bool:
    found = manifest.verified(way.engine, way.precision)
    if found is None:
        return True
    return bool(found.imitated and found.refused) and has_bf16(processor_flags())


def complete(model_dir: Path) -> None:
    """Write OpenVINO's form into a model's directory, verify each way, and note it all.

    Nobody else may read the directory meanwhile. No way that fails is an error: Paddle in fp32,
    which has been verified before, stays.
    """
    path = model_dir / MANIFEST
    document: dict[str, Any] = dict(read_yaml(path))
    folder = Manifest.load(model_dir).openvino_path.parent
    missing = missing_ways(model_dir)
    if any(way.engine == OPENVINO for way in missing) or not document.get("openvino"):
        shutil.rmtree(folder, ignore_errors=True)
    known = [way for way in document.get("ways", ()) if Way(way["engine"], way["precision"])
             not in missing]  # fmt: skip
    document.pop("openvino", None)
    # Digests of a form that is made again would refuse the new one.
    _write(path, document)
    found = verify_ways(model_dir, missing)
    usable = any(way.engine == OPENVINO and not way.refused for way in found) or any(
        way["engine"] == OPENVINO and not way.get("refused") for way in known
    )
    if usable:
        document["openvino"] = digests(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    document["ways"] = known + [_as_mapping(way) for way in found]
    _write(path, document)


def _write(path: Path, document: Mapping[str, Any]) -> None:
    text = yaml.safe_dump(dict(document), sort_keys=False, default_flow_style=None, width=100)
    path.write_text(text, encoding="utf-8")


def complete_in_place(model_dir: Path) -> list[str]:
    """:func:`complete` for a model that may be in use; the caller holds the lock on its parent.

    Returns in words what it may be run with now.
    """
    with work_directory(model_dir.parent, model_dir.name) as work_dir:
        copy = work_dir / model_dir.name
        shutil.copytree(model_dir, copy)
        complete(copy)
        put_in_place(copy, model_dir)
    return usable_ways(Manifest.load(model_dir))


def usable_ways(manifest: Manifest) -> list[str]:
    """Every way that the model was verified for, in words."""
    return [
        str(REFERENCE),
        *(f"{way.engine} {way.precision}" for way in manifest.ways if not way.refused),
    ]


def verify_ways(model_dir: Path, ways: Sequence[Way]) -> list[Verified]:
    """Verify each way in a process of its own, a new one after each that was crashed.

    Writes OpenVINO's form where it is not there.
    """
    found: list[Verified] = []
    left = list(ways)
    while left:
        names = [_name(way) for way in left]
        ended = run_apart("convert.engines.ways_job", [str(model_dir.resolve()), *names], TIMEOUT)
        lines = ended.output.splitlines()
        done = [Verified(**json.loads(line)) for line in lines if line.startswith("{")]
        found += done
        left = left[len(done) :]
        if ended.problem and left:
            crashed = left.pop(0)
            found.append(Verified(crashed.engine, crashed.precision, refused=ended.problem))
    return found


def _name(way: Way) -> str:
    imitated = way.precision == BF16 and not has_bf16(processor_flags())
    return f"{way.engine}:{way.precision}{':imitated' if imitated else ''}"


def _as_mapping(way: Verified) -> dict[str, Any]:
    return {
        key: value
        for key, value in asdict(way).items()
        if value not in (None, "") and value is not False
    }
