"""From a request's picture, URL or face_token to the faces that operations work with."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from client.pipeline.wire import FaceSeen, PictureSeen
from gateway.api.levels import liveness_passes, quality_fault
from gateway.api.parameters import ControlledImage, Image
from gateway.api.results import Location, NoLocation
from gateway.backends.face_tokens import KnownFace
from gateway.backends.pictures import base64_of
from gateway.backends.pipeline import picture_error
from gateway.context import Call
from gateway.errors import ApiError, ErrorCode
from library.errors import InvalidError, NotFoundError
from library.store.store import Store

# Asked for with every picture. Quality takes longer, and is looked at for detections, whose tokens
# later calls go on with, and where it is controlled.
_ALWAYS = ("embedding", "angle")
PICTURE_NEEDED = "the picture itself is needed, not a face_token"
_NO_EMBEDDING = np.empty(0, np.float32)
_FAULTS = {
    "covered": ErrorCode.COVERED,
    "blurred": ErrorCode.BLURRED,
    "poor_light": ErrorCode.POOR_LIGHT,
    "incomplete": ErrorCode.INCOMPLETE,
}


@dataclass(frozen=True)
class Found:
    """A face of a request. seen: what the pipeline says of it; None for a face_token's."""

    known: KnownFace
    seen: FaceSeen | None = None

    @property
    def is_registered(self) -> bool:
        """Whether it was named by the token of a face in the library, whose picture is gone."""
        return self.seen is None and not self.known.location

    @property
    def is_comparable(self) -> bool:
        """Whether it has an embedding: not so where nobody knows how it stands in its picture."""
        return self.known.embedding.size > 0

    @property
    def token(self) -> str:
        """The face's token."""
        return self.known.token

    @property
    def location(self) -> Location | NoLocation:
        """Its box, as it was answered when its picture was there; empty for a registered face."""
        return cast("Location | NoLocation", self.known.location)


async def faces_of(
    call: Call,
    images: Sequence[Image],
    want: Collection[str] = (),
    max_faces: int = 1,
    compared: bool = True,
) -> list[list[Found]]:
    """The faces of each image, largest first, at least one; their tokens are good from now on.

    want: parts of the pipeline's answer beside those that a token needs. compared: whether they
    are to be compared or enrolled; faces without an embedding are left out then. Raises ApiError:
    what is wrong with the first image that cannot be used, NO_FACE, INCOMPLETE where its faces
    have no embeddings, TOKEN_NOT_FOUND, PIPELINE.
    """
    found: list[list[Found]] = [[] for _ in images]
    for aligned in (False, True):
        places = [n for n, image in enumerate(images) if _is_picture(image, aligned)]
        pictures = [await _base64(call, images[place]) for place in places]
        if not pictures:
            continue
        answers = await call.backends.pipeline.see(
            pictures,
            want=_wanted(want, aligned),
            timeout=call.remaining(),
            max_faces=min(max_faces, call.backends.most_faces),
            aligned=aligned,
        )
        for place, picture, answer in zip(places, pictures, answers):
            found[place] = await _named(call, picture, answer, aligned)
    for place, image in enumerate(images):
        if image.image_type == "FACE_TOKEN":
            found[place] = [Found(await _by_token(call, image.image))]
    return [_comparable(faces) for faces in found] if compared else found


def check_controls(call: Call, image: ControlledImage, face: Found) -> None:
    """Raise the ApiError of what a face lacks for the levels that the request asks for.

    A registered face has been checked when it was registered.
    """
    known = face.known
    if image.quality_control != "NONE" and not face.is_registered:
        if known.quality is None:
            raise ApiError(ErrorCode.QUALITY_CONTROL, PICTURE_NEEDED)
        fault = quality_fault(known.quality, known.angle or {}, image.quality_control)
        if fault is not None:
            raise ApiError(_FAULTS[fault])
    check_liveness(call, image.liveness_control, face)


def check_liveness(call: Call, level: str, face: Found) -> None:
    """Raise ApiError LIVENESS for a face that is not alive enough for a level."""
    if level == "NONE":
        return
    score = face.known.liveness
    if score is None:
        raise ApiError(ErrorCode.LIVENESS_CONTROL, PICTURE_NEEDED)
    if not liveness_passes(score, level, call.backends.liveness_thresholds):
        raise ApiError(ErrorCode.LIVENESS)


def wanted_by(image: ControlledImage) -> set[str]:
    """What the controls of a picture need."""
    controls = {"quality": image.quality_control, "liveness": image.liveness_control}
    return {part for part, level in controls.items() if level != "NONE"}


def location_of(box: Sequence[float], rotation: float) -> Location:
    """The API's form of a box (x1, y1, x2, y2 in pixels). rotation: degrees, clockwise."""
    left, top, right, bottom = box
    return {
        "left": round(float(left), 2),
        "top": round(float(top), 2),
        "width": round(right - left),
        "height": round(bottom - top),
        "rotation": round(rotation),
    }


def _is_picture(image: Image, aligned: bool) -> bool:
    return image.image_type != "FACE_TOKEN" and (image.face_type == "ALIGNED") == aligned


def _wanted(want: Collection[str], aligned: bool) -> set[str]:
    """In an aligned picture there are no points to be found."""
    wanted = {*_ALWAYS, *want}
    return wanted - {"angle", "landmarks", "mesh"} if aligned else wanted


async def _base64(call: Call, image: Image) -> str:
    backends = call.backends
    return await base64_of(image.image, image.image_type, backends.urls, backends.picture_bytes)


def _comparable(faces: Sequence[Found]) -> list[Found]:
    """The faces that have an embedding. Raises ApiError INCOMPLETE where none has."""
    left = [face for face in faces if face.is_comparable]
    if not left:
        raise ApiError(ErrorCode.INCOMPLETE, "how the face stands in the picture is not sure")
    return left


async def _named(call: Call, image: str, picture: PictureSeen, aligned: bool) -> list[Found]:
    """Faces of a picture, each with its token. image: its base64. Raises ApiError."""
    if picture.error is not None:
        raise picture_error(picture.error)
    if not picture.faces:
        raise ApiError(ErrorCode.NO_FACE)
    backends = call.backends
    model = backends.library.recogniser.name
    told = backends.pipeline.models.get("ArcFace", model)
    if told != model:
        raise ApiError(ErrorCode.PIPELINE, f"the pipeline's recogniser is {told}, not {model}")
    names = await backends.face_names.of(call.app, image, picture, aligned, call.remaining())
    found = []
    for name, face in zip(names, picture.faces):
        if face.embedding is None and face.no_embedding is None:
            raise ApiError(ErrorCode.PIPELINE, "the pipeline gave no embedding")
        known = KnownFace(
            token=name,
            app=call.app,
            model=model,
            embedding=_NO_EMBEDDING if face.embedding is None else face.embedding,
            location=location_of(face.box, (face.angle or {}).get("roll", 0.0)),
            probability=face.score,
            quality=face.quality,
            angle=face.angle,
            liveness=face.liveness,
        )
        backends.face_tokens.put(known)
        found.append(Found(known, face))
    backends.metrics.faces(len(found))
    return found


async def _by_token(call: Call, token: str) -> KnownFace:
    known = await call.backends.face_tokens.get(call.app, token)
    if known is None:
        known = await call.read(_registered, call.app, token)
    if known is None:
        raise ApiError(ErrorCode.TOKEN_NOT_FOUND)
    if known.model != call.backends.library.recogniser.name:
        raise ApiError(ErrorCode.TOKEN_NOT_FOUND, f"it is of the recogniser {known.model}")
    return known


def _registered(store: Store, app: str, token: str) -> KnownFace | None:
    """A registered face. Of its picture nothing but the embedding is kept."""
    try:
        stored = store.face(app, token)
    except (InvalidError, NotFoundError):
        return None
    return KnownFace(
        token=token,
        app=app,
        model=stored.model,
        embedding=stored.embedding,
        location={},
        probability=stored.quality if stored.quality is not None else 1.0,
        quality=None,
        angle=None,
        liveness=None,
    )
