"""Landmark: five points (and the mesh) of each face, and what follows from them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import numpy as np

from inference.runner import Timing
from ops.request_state import RequestState
from ops.stages.alignment import align_faces
from ops.worker import ModelWorker
from vision.face import Face
from vision.pose import face_outlines, head_angles, head_rotations
from vision.quality import face_quality
from vision.suppression import nesting, suppress

# Two boxes round five points that share more than this of the smaller one are round one face's.
_SAME_POINTS = 0.5


class LandmarkWorker(ModelWorker):
    """Fills `face.landmarks` and `face.mesh`, drops what is no face; aligned faces have points.

    Angle and quality are worked out here for requests that ask for them: they need the mesh and
    the picture, and no model.
    """

    def concerns(self, request: RequestState) -> bool:
        return not request.options.aligned or "quality" in request.options.want

    def run(self, requests: Sequence[RequestState], timing: Timing) -> None:
        self._find([request for request in requests if not request.options.aligned], timing)
        started = time.perf_counter()
        _fill_meshless(requests)
        _fill(requests)
        timing.decode += time.perf_counter() - started

    def _find(self, requests: Sequence[RequestState], timing: Timing) -> None:
        pairs = [pair for request in requests for pair in request.faces()]
        samples = [(picture.rgb, face) for picture, face in pairs]
        look = partial(self.runners[0].run, timing=timing)
        for (picture, face), alignment in zip(pairs, align_faces(look, samples)):
            face.landmarks = alignment.landmarks.points
            face.mesh = alignment.landmarks.mesh
            face.is_aligned = alignment.is_sure
            if not alignment.is_face:
                picture.faces = [other for other in picture.faces if other is not face]
        for request in requests:
            for picture in request.usable_pictures():
                picture.faces = distinct(picture.faces)


def distinct(faces: Sequence[Face]) -> list[Face]:
    """The faces without those whose eyes, nose and mouth are also a surer one's, in order.

    Of a face that lies on its side a detector may find two halves, in each of which the landmark
    model then sees the whole.
    """
    points = [face.landmarks for face in faces if face.landmarks is not None]
    if len(faces) < 2 or len(points) < len(faces):
        return list(faces)
    boxes = np.array([[*five.min(axis=0), *five.max(axis=0)] for five in points])
    kept = suppress(boxes, np.array([face.score for face in faces]), _SAME_POINTS, nesting)
    return [faces[number] for number in sorted(kept)]


def _fill(requests: Sequence[RequestState]) -> None:
    """Angle and quality of all faces with a mesh that are asked for, the poses in one go."""
    found = [
        (picture, face, face.mesh, request.options.want)
        for request in requests
        if not request.options.want.isdisjoint(("angle", "quality"))
        for picture, face in request.faces()
        if face.mesh is not None
    ]
    if not found:
        return
    meshes = np.stack([mesh for _, _, mesh, _ in found])
    rotations = head_rotations(meshes)
    angles, outlines = head_angles(rotations), face_outlines(meshes, rotations)
    for (picture, face, _, want), angle, outline in zip(found, angles, outlines):
        if "angle" in want:
            face.angle = angle
        if "quality" in want:
            face.quality = face_quality(picture.rgb, face, outline)


def _fill_meshless(requests: Sequence[RequestState]) -> None:
    """Quality, as far as it can be told, of faces without a mesh: those sent as aligned."""
    for request in requests:
        if "quality" in request.options.want:
            for picture, face in request.faces():
                if face.mesh is None:
                    face.quality = face_quality(picture.rgb, face)
