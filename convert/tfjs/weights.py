"""Reads the weights that accompany a TensorFlow.js model: a manifest and binary shards."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from convert.network.graph import GraphError

_STORED = {"float32": "<f4", "int32": "<i4", "bool": "|b1", "uint8": "|u1"}
_QUANTISED = {"float16": "<f2", "uint8": "|u1", "uint16": "<u2"}


def read_weights(manifest: Sequence[Mapping[str, Any]], folder: Path) -> dict[str, np.ndarray]:
    """Decode every tensor of a weights manifest whose shards lie in ``folder``.

    A tensor stored as uint8 or uint16 is ``stored * scale + min``; one stored as float16 is
    widened. Floating-point tensors come back as float32. Raises GraphError for an unknown
    type and for shards that are shorter or longer than the manifest says.
    """
    weights: dict[str, np.ndarray] = {}
    for group in manifest:
        raw = b"".join((folder / path).read_bytes() for path in group["paths"])
        offset = 0
        for entry in group["weights"]:
            stored, offset = _take(raw, offset, entry)
            weights[entry["name"]] = _decode(stored, entry)
        if offset != len(raw):
            raise GraphError(f"{group['paths']} holds {len(raw)} bytes, its manifest {offset}")
    return weights


def _take(raw: bytes, offset: int, entry: Mapping[str, Any]) -> tuple[np.ndarray, int]:
    name, shape = entry["name"], tuple(entry["shape"])
    quantization = entry.get("quantization")
    kinds, kind = (_QUANTISED, quantization["dtype"]) if quantization else (_STORED, entry["dtype"])
    if kind not in kinds:
        raise GraphError(f"weight {name!r} is stored as {kind!r}; known: {', '.join(kinds)}")
    dtype, count = np.dtype(kinds[kind]), math.prod(shape)
    end = offset + count * dtype.itemsize
    if end > len(raw):
        raise GraphError(f"weight {name!r} ends at byte {end} of {len(raw)}")
    return np.frombuffer(raw, dtype, count, offset).reshape(shape), end


def _decode(stored: np.ndarray, entry: Mapping[str, Any]) -> np.ndarray:
    quantization = entry.get("quantization")
    if quantization and "scale" in quantization:
        # In double precision, as JavaScript computes it, and rounded once.
        stored = stored.astype(np.float64) * quantization["scale"] + quantization["min"]
    kind = entry["dtype"]
    return stored.astype(np.float32 if kind == "float32" else np.dtype(kind))
