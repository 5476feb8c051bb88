"""One side of the comparison, the service or a peer: asked, loaded, and looked at."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.load import generators
from bench.load.cpu import Meter
from bench.load.figures import Load
from bench.load.generators import Target
from bench.load.pictures import PictureSet
from bench.memory import usage_of
from bench.peers.running import Running
from client.pipeline.wire import FaceSeen, read_document

SERVICE = "service"
# What is asked of the service: all that the peers do, and no more.
WANT = ("landmarks", "embedding")
_TIMEOUT_S = 60.0
_UNIT = 1e-3


@dataclass(frozen=True)
class Side:
    """url: where pictures are sent. pids: its processes by name, their children not among them.

    dim: numbers of an embedding. roots: processes that with all below them are the whole of it.
    """

    name: str
    url: str
    pids: Mapping[str, int]
    roots: tuple[int, ...]
    dim: int

    @classmethod
    def of_peer(cls, name: str, running: Running, dim: int) -> Side:
        """A peer's workers."""
        pids = {f"{name} {number}": pid for number, pid in enumerate(running.pids, 1)}
        return cls(name, running.url, pids, running.pids, dim)

    def faces(self, pictures: PictureSet) -> list[FaceSeen]:
        """What is answered to the set. Raises RuntimeError for what is no answer."""
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url, pictures.http_body(), headers)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                document = _document(json.load(answer))
            images, _ = read_document({"models": {}, **document})
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{self.name}: answers {error.code}") from None
        except (LookupError, TypeError, ValueError, AttributeError):
            raise RuntimeError(f"{self.name}: what it answers is no answer") from None
        return [face for image in images for face in image.faces]

    def check(self, pictures: PictureSet, faces: Sequence[FaceSeen]) -> None:
        """Raise RuntimeError unless these faces are what the set holds."""
        if len(faces) != pictures.faces:
            raise RuntimeError(
                f"{self.name}: {pictures.title}: {len(faces)} faces instead of {pictures.faces}"
            )
        for face in faces:
            self._check_face(face)

    def _check_face(self, face: FaceSeen) -> None:
        size = 0 if face.embedding is None else len(face.embedding)
        if face.embedding is None or size != self.dim:
            raise RuntimeError(f"{self.name}: {size} numbers of an embedding, not {self.dim}")
        # Not a number is no length of 1 either.
        if not abs(float(np.linalg.norm(face.embedding)) - 1) < _UNIT:
            raise RuntimeError(f"{self.name}: an embedding that is not of unit length")
        points = np.asarray(face.landmarks or [], np.float32).reshape(-1, 2)
        low, high = np.array(face.box[:2]), np.array(face.box[2:])
        if len(points) != 5 or not ((low <= points) & (points <= high)).all():
            raise RuntimeError(f"{self.name}: five points are not within the box of their face")

    def load(self, generator: str, pictures: PictureSet, seconds: float, level: int) -> Load:
        """As many requests as it answers, `level` at a time, and whose processor time that was."""
        meter = Meter(self.pids)
        target = Target(self.url, "", pictures.http_body(), b"")
        load = generators.http_load(generator, target, seconds, level)
        used = meter.cores()
        # Of several workers one is asked here and another there: only the sum can be compared.
        own = sum(used.pop(name) for name in self.pids)
        load.side, load.cores = self.name, {self.name: own, **used}
        return load

    def memory(self) -> dict[str, int]:
        """Its processes and what they hold: RSS, and PSS, which is what the machine misses."""
        usages = [usage for pid in self.roots for usage in usage_of(pid)]
        return {
            "processes": len(usages),
            "rss": sum(usage.rss for usage in usages),
            "pss": sum(usage.pss for usage in usages),
        }


def _document(content: Mapping[str, Any]) -> dict[str, Any]:
    """The service has it as text in a list of values, and says errors beside it."""
    return dict(json.loads(content["value"][0]) if "value" in content else content)


def agreement(one: Sequence[FaceSeen], other: Sequence[FaceSeen]) -> float:
    """The least cosine of embeddings of the same faces, paired by where they are."""
    found = []
    for face in one:
        nearest = min(other, key=lambda seen: float(np.abs(_middle(seen) - _middle(face)).sum()))
        if face.embedding is not None and nearest.embedding is not None:
            found.append(float(face.embedding @ nearest.embedding))
    return min(found)


def _middle(face: FaceSeen) -> np.ndarray:
    return np.mean(np.asarray(face.landmarks, np.float32), axis=0)
