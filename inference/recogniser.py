"""What a service's embeddings are made of, their name, and the calibration of their scores.

One network, or several whose embeddings are joined; of the face as it is, or of it and its mirror
image. Embeddings that are made differently cannot be compared, hence each way has a name of its
own: ``a``, ``a+flip``, ``a:1+b:2.24``, ``a:1+b:2.24+flip``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from inference.manifest import Calibration, Manifest, ManifestError
from inference.scores import Recogniser, Scores

_FLIP = "+flip"
# Digits of a weight in the name; the weights themselves are rounded to as many.
_DIGITS = 6
_DERIVED_DIGITS = 3
# Most numbers of an embedding that the library takes.
MOST_NUMBERS = 4096


@dataclass(frozen=True)
class Recipe:
    """How embeddings are made.

    manifests: of the networks. weights: of their embeddings of unit length, one each. flip: whether
    each network's is the mean of that of the face and of its mirror image.
    """

    manifests: tuple[Manifest, ...]
    weights: tuple[float, ...]
    flip: bool

    @classmethod
    def of(
        cls, manifests: Sequence[Manifest], weights: Sequence[float] = (), flip: bool = False
    ) -> Recipe:
        """weights: empty for those that the calibrations give.

        Raises ManifestError where they are needed and not there.
        """
        if len(manifests) == 1:
            weights = (1.0,)
        elif not weights:
            weights = derived_weights(manifests)
        rounded = tuple(_rounded(weight, _DIGITS) for weight in weights)
        return cls(tuple(manifests), rounded, flip)

    @property
    def name(self) -> str:
        """As answers tell it, and as every face in a library bears it."""
        names = [manifest.name for manifest in self.manifests]
        if len(names) > 1:
            names = [f"{name}:{weight:g}" for name, weight in zip(names, self.weights)]
        return "+".join(names) + _FLIP * self.flip

    def recogniser(self) -> Recogniser:
        """Name, length and scale of scores. Raises ManifestError where nobody has measured that.

        The cosine of two joined embeddings is the mean of their parts' cosines, weighted by the
        squares of the weights. So is the mean over pairs of different people, and no more than one
        pair in a thousand lies above that mean of the thresholds, as long as a part's high cosines
        do not come more often with the other's low ones than with its high ones.
        """
        dim = 0
        for manifest in self.manifests:
            dim += manifest.embedding_dim or 0
        if dim > MOST_NUMBERS:
            raise ManifestError(f"{self.name}: {dim} numbers are more than {MOST_NUMBERS}")
        parts = [self._calibration(manifest) for manifest in self.manifests]
        shares = np.square(self.weights) / np.square(self.weights).sum()
        mean = float(shares @ [part.impostor_mean for part in parts])
        threshold = float(shares @ [part.threshold for part in parts])
        return Recogniser(self.name, dim, Scores(mean, threshold))

    def join(self, parts: Sequence[np.ndarray]) -> np.ndarray:
        """One embedding a face of unit length, (N, sum of D) float32.

        parts: for each network (N, D) float32 of unit length.
        """
        if len(parts) == 1:
            return parts[0]
        weighted = [np.float32(weight) * part for weight, part in zip(self.weights, parts)]
        return of_unit_length(np.hstack(weighted))

    def _calibration(self, manifest: Manifest) -> Calibration:
        """Of one network's embeddings, those of mirrored faces taken into account.

        Of the mean of two embeddings whose cosine is c the length is sqrt((1 + c) / 2). Where all
        four cosines of two such pairs are alike, that of the means is 2 / (1 + c) times theirs.
        """
        plain = calibration_of(manifest)
        if not self.flip:
            return plain
        if plain.mirrored is None:
            raise ManifestError(
                f"{manifest.path}: embedding.mirrored is needed for flip; "
                f"{_again(manifest)}, or measure it: .venv/bin/python -m bench accuracy --flip"
            )
        factor = 2 / (1 + plain.mirrored)
        return Calibration(plain.impostor_mean * factor, plain.threshold * factor)


def derived_weights(manifests: Sequence[Manifest]) -> tuple[float, ...]:
    """Weights with which the way from strangers' mean to the threshold counts the same for each.

    The first one's is 1. Raises ManifestError for a network without a calibration.
    """
    spans = [found.threshold - found.impostor_mean for found in map(calibration_of, manifests)]
    return tuple(_rounded((spans[0] / span) ** 0.5, _DERIVED_DIGITS) for span in spans)


def calibration_of(manifest: Manifest) -> Calibration:
    """Of a network alone. Raises ManifestError where its manifest has none."""
    calibration = manifest.calibration
    if manifest.embedding_dim is None or calibration is None:
        raise ManifestError(
            f"{manifest.path}: embedding: dim, impostor_mean and threshold are needed for "
            f"scores; {_again(manifest)}"
        )
    return calibration


def load_recogniser(
    directories: Sequence[Path], weights: Sequence[float] = (), flip: bool = False
) -> Recogniser:
    """That of the models in these directories. Raises ManifestError, also for unknown scores."""
    manifests = [Manifest.load(directory) for directory in directories]
    return Recipe.of(manifests, weights, flip).recogniser()


def recogniser_named(name: str, directory_of: Callable[[str], Path]) -> Recogniser:
    """The recogniser that has a name as `Recipe.name` gives it.

    directory_of: a model's directory by its name. Raises ManifestError for a model that is not
    there or whose scores are not known.
    """
    members, weights = [name.removesuffix(_FLIP)], []
    if ":" in name:
        parts = [part.rpartition(":") for part in members[0].split("+")]
        members = [member for member, _, _ in parts]
        try:
            weights = [float(weight) for _, _, weight in parts]
        except ValueError:
            raise ManifestError(f"{name} is no recogniser's name") from None
    return load_recogniser(
        [directory_of(member) for member in members], weights, name.endswith(_FLIP)
    )


def of_unit_length(vectors: np.ndarray) -> np.ndarray:
    """Vectors (..., D) float32 divided by their lengths; zeros stay zeros."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return (vectors / np.maximum(lengths, 1e-12)).astype(np.float32, copy=False)


def _rounded(number: float, digits: int) -> float:
    return float(f"{number:.{digits}g}")


def _again(manifest: Manifest) -> str:
    name = manifest.directory.name
    return f"convert the model again: .venv/bin/python -m convert {name} --force"
