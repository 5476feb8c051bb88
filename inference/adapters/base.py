"""What every adapter does: one sample's picture to the model's input, outputs to results.

An adapter is pure numpy and OpenCV. It knows neither predictors nor requests, holds no state
beyond its manifest's settings, and may be used by several threads.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from inference.manifest import Manifest, ManifestError
from vision.face import Face
from vision.geometry import (
    ARCFACE_POINTS,
    ARCFACE_SIZE,
    fit_similarity,
    five_points,
    rotated_square,
    transform,
    warp,
)

Triple = tuple[float, float, float]

# Middle, width and height of SCRFD's boxes about an upright face at ARCFACE_POINTS: medians over
# 124 portraits.
PORTRAIT_CENTER = np.array([56, 64], dtype=np.float32)
PORTRAIT_SIDES = np.array([79, 108], dtype=np.float32)


class Adapter(abc.ABC):
    """The link between the service's pictures and faces and one family of models."""

    def __init__(self, manifest: Manifest) -> None:
        """Raises ManifestError where the manifest lacks what the family needs."""
        self.manifest = manifest
        shape = self.input_shape()
        if len(shape) != 4 or min(shape[1:]) < 1:
            raise ManifestError(
                f"{manifest.path}: inputs: image: shape {list(shape)} should be"
                " [batch, channels, height, width], all but the batch fixed"
            )
        self._sample_shape = (shape[1], shape[2], shape[3])

    def input_shape(self) -> tuple[int, ...]:
        """Shape of the input ``image``; whoever takes any size of picture chooses one here."""
        return self.manifest.input("image").shape

    @property
    def sample_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one sample of the input ``image``."""
        return self._sample_shape

    @property
    def side(self) -> int:
        """Height of the input in pixels; every family here but the detectors' takes a square."""
        return self._sample_shape[1]

    @abc.abstractmethod
    def prepare(self, picture: np.ndarray, face: Face | None, out: np.ndarray) -> Any:
        """Write one sample of the input ``image``.

        picture: (H, W, 3) uint8 RGB, of any size from 1x1; face: the face that the sample is
        about, None for detection; out: (C, H, W) float32, overwritten wholly.
        Returns what :meth:`decode` needs to know about the sample.
        """

    def extra_feeds(self, contexts: Sequence[Any]) -> dict[str, np.ndarray]:
        """Inputs other than ``image`` for the samples with these contexts, by alias."""
        del contexts
        return {}

    @abc.abstractmethod
    def decode(self, outputs: Mapping[str, np.ndarray], contexts: Sequence[Any]) -> list[Any]:
        """One result a sample, in order.

        outputs: by alias, the first dimension being the sample; contexts: as from
        :meth:`prepare`.
        """


class Recognizer(Adapter):
    """An adapter of a network that makes embeddings of aligned faces."""

    @abc.abstractmethod
    def target_points(self) -> np.ndarray:
        """(5, 2) float32, where the five points lie in the network's input, in pixels."""

    @abc.abstractmethod
    def normalize(self, crop: np.ndarray, out: np.ndarray) -> None:
        """Write an aligned crop (H, W, 3) uint8 RGB into out (3, H, W) float32."""

    def prepare(self, picture: np.ndarray, face: Face | None, out: np.ndarray) -> None:
        """Align by the face's landmarks, else by its keypoints.

        Raises ValueError for a face with neither.
        """
        points = None if face is None else known_points(face)
        if points is None:
            raise ValueError(f"{self.manifest.name} needs a face with landmarks or keypoints")
        matrix = fit_similarity(points, self.target_points())
        self.normalize(warp(picture, matrix, self.side), out)

    def decode(
        self, outputs: Mapping[str, np.ndarray], contexts: Sequence[Any]
    ) -> list[np.ndarray]:
        """Embeddings of unit length, (D,) float32 each."""
        embeddings = outputs["embedding"].reshape(len(contexts), -1)
        lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
        return list((embeddings / np.maximum(lengths, 1e-12)).astype(np.float32, copy=False))


def known_points(face: Face) -> np.ndarray | None:
    """Five points (5, 2) of a face: its landmarks, else what its keypoints give, else None."""
    return face.landmarks if face.landmarks is not None else five_points(face.keypoints)


def likely_points(face: Face) -> np.ndarray:
    """Five points (5, 2) of a face: :func:`known_points`, else where its box suggests them.

    The box of a picture that is said to be an aligned face is the whole picture, for which the
    guess is exact.
    """
    points = known_points(face)
    if points is not None:
        return points
    guess: np.ndarray = face.box[:2] + ARCFACE_POINTS * (face.box[2:] - face.box[:2]) / ARCFACE_SIZE
    return guess


def portrait_box(face: Face) -> np.ndarray:
    """A face's box from hairline to chin, (4,) float32 x1 y1 x2 y2, whatever the detector.

    Detectors differ in what they call a face (BlazeFace leaves out the forehead), and the
    liveness models see little beyond it. Hence the box follows from the five points, as RetinaFace
    and SCRFD would draw it; a face without points keeps the detector's.
    """
    points = known_points(face)
    if points is None:
        return face.box
    matrix = fit_similarity(ARCFACE_POINTS, points)
    middle = transform(matrix, PORTRAIT_CENTER[None])[0]
    half = PORTRAIT_SIDES / 2 * np.hypot(matrix[0, 0], matrix[1, 0])
    return np.concatenate([middle - half, middle + half]).astype(np.float32)


def box_crop(picture: np.ndarray, box: np.ndarray, scale: float, size: int) -> np.ndarray:
    """A square upright crop about a box, (size, size, 3) uint8, its border replicated.

    box: (4,) x1 y1 x2 y2; scale: side of the crop as a multiple of the box's longer side.
    """
    side = float((box[2:] - box[:2]).max()) * scale
    center = (box[:2] + box[2:]) / 2 - 0.5
    return warp(picture, rotated_square(center, side, 0.0, size), size, cv2.BORDER_REPLICATE)


def write_channels(
    pixels: np.ndarray, out: np.ndarray, scale: float | Triple, offset: float | Triple
) -> None:
    """Normalise and transpose: ``out[c] = pixels[..., c] * scale[c] + offset[c]``.

    pixels: (H, W, C) or (H, W) uint8; out: (C, H, W) float32, any strides.
    """
    scales = np.broadcast_to(np.asarray(scale, dtype=np.float32), len(out))
    offsets = np.broadcast_to(np.asarray(offset, dtype=np.float32), len(out))
    # Splitting first makes the conversion run over contiguous bytes, twice as fast.
    for plane, target, factor, shift in zip(cv2.split(pixels), out, scales, offsets):
        np.multiply(plane, factor, out=target)
        np.add(target, shift, out=target)
