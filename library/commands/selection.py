"""Which face of a picture is enrolled, and why a picture is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from client.pipeline.answer import FaceAnswer, Options

# The reasons in a report, each with what it means.
REASONS: dict[str, str] = {
    "unreadable": "the file or folder cannot be read, or is no picture",
    "symlink": "a link to a file or folder is not followed",
    "not_a_file": "a pipe, a socket or a device is not read",
    "no_folder": "the picture is in no person's folder",
    "too_large": "the file has more bytes than limits.picture_bytes of config.yml",
    "no_face": "no face was found",
    "alignment_unsure": "how the face stands in the picture is not sure",
    "several_faces": "there are several faces, and --several is refuse",
    "too_small": "the face's shorter side is below --min-size",
    "blurred": "the face's sharpness is below --min-sharpness",
    "too_many_faces": "the user would have more faces than are allowed",
    "repeated": "the folder has the same file twice",
    "other_name": "the user of this id has another name, and is left alone; see --by-id",
    "earlier_id": "an earlier version made another id of the name; see docs/library.md",
}


class RefusedError(Exception):
    """A picture that is not enrolled. reason: a key of REASONS."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(detail or REASONS[reason])
        self.reason = reason
        self.detail = detail or REASONS[reason]


@dataclass(frozen=True)
class Selection:
    """What a picture must have.

    several: "largest" or "refuse", where there are several faces. max_faces: looked for.
    min_score: 0 to 1, None for the service's own. min_size: pixels of the shorter side.
    min_sharpness: variance of the Laplacian of the aligned face, 0 for any.
    crops: whether the aligned faces are wanted.
    """

    several: str = "largest"
    max_faces: int = 10
    min_score: float | None = None
    min_size: int = 0
    min_sharpness: float = 0.0
    crops: bool = False

    def options(self) -> Options:
        """What is asked of the service."""
        aligned = ("aligned",) if self.crops or self.min_sharpness > 0 else ()
        return Options(
            max_faces=self.max_faces,
            min_score=self.min_score,
            want=("landmarks", "embedding", *aligned),
            embedding_format="base64",
        )

    def choose(self, faces: Sequence[FaceAnswer]) -> FaceAnswer:
        """The face to enrol; faces: largest first. Raises RefusedError."""
        if not faces:
            raise RefusedError("no_face")
        if len(faces) > 1 and self.several == "refuse":
            raise RefusedError("several_faces", f"{len(faces)} faces")
        face = faces[0]
        if face.no_embedding is not None:
            raise RefusedError("alignment_unsure")
        x1, y1, x2, y2 = face.box
        size = min(x2 - x1, y2 - y1)
        if size < self.min_size:
            raise RefusedError("too_small", f"{size:.0f} of {self.min_size} pixels")
        if self.min_sharpness > 0:
            found = sharpness(face.aligned)
            if found < self.min_sharpness:
                raise RefusedError("blurred", f"sharpness {found:.0f} of {self.min_sharpness:g}")
        return face


def sharpness(aligned: bytes | None) -> float:
    """Variance of the Laplacian of an aligned face's grey values (Pech-Pacheco et al., 2000).

    aligned: a PNG; 0 for none.
    """
    if aligned is None:
        return 0.0
    grey = np.asarray(cv2.imdecode(np.frombuffer(aligned, np.uint8), cv2.IMREAD_GRAYSCALE))
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())
