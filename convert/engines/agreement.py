"""How near a way to run a model comes to Paddle in fp32, on faces that everybody has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from convert import task_checks
from convert.errors import VerificationError
from convert.subject import Subject
from convert.verify import BATCH_TOLERANCE, check_outputs
from inference.engines.base import BF16
from inference.manifest import Verified
from vision.face import Detections, Face, Landmarks

# Of embeddings to Paddle's in fp32, at least: so near, both may stand in one library.
LEAST_COSINE = {BF16: 0.999}
_EXACT = 0.99999
# bf16 keeps eight bits of a number, and a network's layers add their steps up. What counts is what
# is made of the outputs; a sample in a batch may take other kernels than alone.
_BF16_BATCH = 0.2
LEAST_OVERLAP = 0.95  # IoU of a detection's boxes
MOST_SCORE = 0.03  # of scores and probabilities, 0 to 1
MOST_SHIFT = 0.01  # of a landmark, as a share of the face's longer side
MOST_YEARS = 1.5


def check_way(reference: Subject, subject: Subject, imitated: bool) -> Verified:
    """Hold a way against Paddle in fp32, then against the checks that Paddle had to pass.

    In fp32 the outputs are compared, in less what is made of them.
    Raises VerificationError that says what is wrong.
    """
    way = subject.way
    samples = [*_views(), *task_checks.stranger_samples()[:8]]
    difference, cosine = _outputs(reference, subject, samples)
    if cosine is not None and not cosine >= LEAST_COSINE.get(way.precision, _EXACT):
        raise VerificationError(f"embeddings have a cosine of {cosine:.5f} to Paddle's in fp32")
    tolerance = BATCH_TOLERANCE
    if way.precision == BF16:
        tolerance = _BF16_BATCH
        _check_results(reference, subject)
    elif not difference <= tolerance:
        raise VerificationError(
            f"outputs differ from Paddle's by {difference:.1e} of the largest; "
            f"{tolerance:g} is allowed"
        )
    picture, face = task_checks.sample_face()
    check_outputs(subject, picture, face, tolerance)
    check = task_checks.CHECKS.get(subject.manifest.task)
    if check is not None:
        check(subject, picture, face)
    return Verified(
        way.engine,
        way.precision,
        float(f"{difference:.2g}"),
        None if cosine is None else round(cosine, 6),
        imitated=imitated,
    )


def _views() -> list[tuple[np.ndarray, Face]]:
    picture, face = task_checks.sample_face()
    return [(picture, face), task_checks.mirrored(picture, face), (picture // 2, face)]


def _outputs(
    reference: Subject, subject: Subject, samples: list[tuple[np.ndarray, Face]]
) -> tuple[float, float | None]:
    """`difference` and `cosine` of :class:`inference.manifest.Verified`."""
    difference, cosine = 0.0, 1.0
    for sample in samples:
        feeds, _ = reference.feeds([sample])
        expected, found = reference.predictor.run(feeds), subject.predictor.run(feeds)
        for alias, values in expected.items():
            other = found[alias]
            if other.shape != values.shape or other.dtype != values.dtype:
                subject.fail(f"{alias} is {other.dtype} {list(other.shape)}")
            if values.size:
                largest = max(1e-3, float(np.abs(values).max()))
                difference = max(difference, float(np.abs(values - other).max()) / largest)
        if "embedding" in expected:
            one, two = (np.ravel(outputs["embedding"]) for outputs in (expected, found))
            lengths = float(np.linalg.norm(one) * np.linalg.norm(two))
            cosine = min(cosine, float(one @ two) / max(lengths, 1e-12))
    return difference, cosine if subject.manifest.embedding_dim else None


def _check_results(reference: Subject, subject: Subject) -> None:
    compare = _COMPARED.get(subject.manifest.task)
    if compare is None:
        return
    views = _views()
    for view, one, two in zip(views, reference.results(views), subject.results(views)):
        if problem := compare(one, two, view[1]):
            raise VerificationError(f"{problem} from what Paddle in fp32 finds")


def _detections(one: Detections, two: Detections, _: Face) -> str:
    if not len(one) or not len(two):
        return "" if len(one) == len(two) else "a face more or less"
    overlap = task_checks.iou(one.boxes[0], two.boxes[0])
    score = abs(float(one.scores[0]) - float(two.scores[0]))
    if overlap < LEAST_OVERLAP or score > MOST_SCORE:
        return f"its best box has an overlap (IoU) of {overlap:.3f} and a score {score:.3f} away"
    return ""


def _landmarks(one: Landmarks, two: Landmarks, face: Face) -> str:
    side = float((face.box[2:] - face.box[:2]).max())
    shift = float(np.linalg.norm(one.points - two.points, axis=1).max()) / side
    return f"a landmark is {shift:.3f} of the face away" if shift > MOST_SHIFT else ""


def _attributes(one: Mapping[str, Any], two: Mapping[str, Any], _: Face) -> str:
    for name, away in _distances(one, two):
        most = MOST_YEARS if name == "age" else MOST_SCORE
        if away > most:
            return f"{name} is {away:.3f} away"
    return ""


def _distances(one: Any, two: Any, name: str = "") -> list[tuple[str, float]]:
    """Of the numbers in two results of one form."""
    if isinstance(one, Mapping):
        return [pair for key in one for pair in _distances(one[key], two[key], name or key)]
    if isinstance(one, str):
        return []
    return [(name, abs(float(one) - float(two)))]


def _liveness(one: float, two: float, _: Face) -> str:
    away = abs(one - two)
    return f"its score is {away:.3f} away" if away > MOST_SCORE else ""


_COMPARED: dict[str, Callable[[Any, Any, Face], str]] = {
    "detection": _detections,
    "landmark": _landmarks,
    "attributes": _attributes,
    "liveness": _liveness,
}
