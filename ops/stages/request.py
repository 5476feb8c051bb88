"""Request: of the texts that a client sent, upright RGB pictures and options.

`parse_request` runs where the request arrives and looks at text only; decoding is the work of
the stage. Paddle Serving's own RequestOp unpickles tensors of type BYTES, so nothing of it is
used on requests.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from inference.runner import Timing
from ops.decoder_pool import DecoderPool, decode, is_costly
from ops.errors import ErrorKind, ServiceError, without_frames
from ops.options import Options, parse_options
from ops.pictures.picture import open_picture, reduced_size, reduction_of, upright_size
from ops.pictures.picture_text import from_base64
from ops.pictures.pixel_budget import PixelBudget
from ops.request_state import Picture, RequestState
from ops.stages.small_faces import SEEN, least_face, searched_pixels
from ops.worker import PipelineContext, Worker
from settings.config import Limits

# How long a request's pictures are decoded before others have their turn.
TURN_S = 0.1
# Paddle Serving's client sends it with predict(profile=True), to be told the stages' times. They
# are in pipeline.tracer, for all requests; the request is answered like any other.
_PROFILE = "pipeline.profile"
# Values beside the pictures that are looked at, so that millions of them are refused at once.
_OTHERS = 8


def parse_request(
    keys: Sequence[str], values: Sequence[str], limits: Limits, deadline: float
) -> RequestState:
    """The state of a request from its parallel lists.

    deadline: seconds on the clock of `time.monotonic`.
    Raises ServiceError: MALFORMED_REQUEST, UNKNOWN_KEY, TOO_MANY_PICTURES, MALFORMED_OPTIONS.
    """
    if len(keys) != len(values):
        raise ServiceError(
            ErrorKind.MALFORMED_REQUEST, f"{len(keys)} keys came with {len(values)} values."
        )
    if len(keys) > limits.request_pictures + _OTHERS:
        raise ServiceError(
            ErrorKind.TOO_MANY_PICTURES,
            f"{len(keys)} values; at most {limits.request_pictures} pictures are taken.",
        )
    images: list[str] = []
    options: list[str] = []
    for key, value in zip(keys, values):
        if key == "image":
            images.append(value)
        elif key == "options":
            options.append(value)
        elif key == _PROFILE:
            continue
        else:
            raise ServiceError(ErrorKind.UNKNOWN_KEY, f"{key[:64]!r} is not known.")
    _check_counts(len(images), len(options), limits)
    parsed = parse_options(options[0]) if options else Options()
    if parsed.max_faces > limits.faces:
        raise ServiceError(ErrorKind.MALFORMED_OPTIONS, f"max_faces: at most {limits.faces} here.")
    pictures = [Picture(encoded=image) for image in images]
    return RequestState(pictures, parsed, deadline)


def _check_counts(images: int, options: int, limits: Limits) -> None:
    if images == 0:
        raise ServiceError(ErrorKind.MALFORMED_REQUEST, "There is no image.")
    if images > limits.request_pictures:
        raise ServiceError(
            ErrorKind.TOO_MANY_PICTURES,
            f"{images} pictures; at most {limits.request_pictures} are taken.",
        )
    if options > 1:
        raise ServiceError(ErrorKind.MALFORMED_OPTIONS, "options came more than once.")


class RequestWorker(Worker):
    """Decodes a request's pictures within the limits; a bad picture gets an error of its own.

    A request is postponed while the pixels of others leave no room for its own, while a process
    decodes those of its pictures that take long, and after each turn of work, so that a request
    with many pictures does not hold up one with a single picture.
    reduce_to: a JPEG is decoded at a fraction of its size where its longer side keeps so many
    pixels; 0: never. decoders: None has all pictures decoded here, however long they take.
    smallest_face: of requests that do not say. finds_small: whether a model searches for those.
    """

    def __init__(
        self,
        limits: Limits,
        budget: PixelBudget,
        reduce_to: int = 0,
        decoders: DecoderPool | None = None,
        smallest_face: int = 0,
        finds_small: bool = False,
    ) -> None:
        self._limits = limits
        self._smallest_face = smallest_face
        self._finds_small = finds_small
        self._reduce_to = reduce_to
        self._budget = budget
        self._decoders = decoders

    @classmethod
    def in_pipeline(cls, context: PipelineContext) -> RequestWorker:
        config = context.config
        return cls(
            config.limits,
            context.budget,
            config.reduce_jpegs_to,
            context.decoders,
            config.op["Detection"].smallest_face,
            config.small_faces_model() is not None,
        )

    def run(self, requests: Sequence[RequestState], timing: Timing) -> None:
        started = time.perf_counter()
        for request in requests:
            try:
                request.postponed = not self._advance(request)
            except ServiceError as error:
                request.postponed, request.error = False, error
        timing.prepare += time.perf_counter() - started

    def can_resume(self, request: RequestState) -> bool:
        if request.reservation is not None:
            return not request.decoding or any(map(self._is_ready, request.pictures))
        if (
            request.costly
            and self._decoders is not None
            and not self._decoders.has_claimed(request)
        ):
            return self._decoders.is_next(request)
        return self._budget.fits(request.needed_pixels, request)

    def give_up(self, request: RequestState) -> None:
        self._budget.forget(request)
        if self._decoders is not None:
            self._decoders.forget(request)

    def _advance(self, request: RequestState) -> bool:
        """Do what can be done for a request now; whether its pictures are all decoded."""
        if not request.postponed:
            self._open_all(request)
        if request.reservation is None and not self._begin(request):
            return False
        until = time.monotonic() + TURN_S
        for picture in filter(self._is_ready, request.pictures):
            if time.monotonic() > until or not request.live:
                return False
            decode(picture)
        if request.decoding:
            return False
        _raise_refusal(request)
        return True

    def _open_all(self, request: RequestState) -> None:
        self._check_smallest_face(request)
        for picture in request.pictures:
            text, picture.encoded = picture.encoded or "", None
            try:
                data = from_base64(text, self._limits.picture_bytes)
                header = open_picture(data, self._limits.picture_pixels)
            except ServiceError as error:
                picture.error = without_frames(error)
                continue
            picture.width, picture.height = upright_size(header)
            if not request.options.aligned:
                picture.scale = reduction_of(header, self._reduce_to)
                try:
                    self._decide_search(picture, request.options.smallest_face)
                except ServiceError as error:
                    picture.error = without_frames(error)
                    continue
            picture.data, picture.header = data, header
            width, height = reduced_size(header, picture.scale)
            request.needed_pixels += width * height
        if request.needed_pixels > self._budget.most:
            raise ServiceError(
                ErrorKind.REQUEST_TOO_LARGE,
                f"Its pictures have {request.needed_pixels} pixels, more than {self._budget.most}.",
            )
        if self._decoders is not None and any(map(is_costly, request.pictures)):
            self._decoders.join(request)
            request.costly = True

    def _check_smallest_face(self, request: RequestState) -> None:
        """Raises ServiceError(MALFORMED_OPTIONS) where no model searches for small faces."""
        if request.options.smallest_face and not self._finds_small:
            raise ServiceError(
                ErrorKind.MALFORMED_OPTIONS,
                "smallest_face: no model searches for small faces here (op.Detection.small_faces).",
            )

    def _decide_search(self, picture: Picture, asked: int | None) -> None:
        """How small the faces are that a picture is searched for, within the limit on its cost.

        What a request asks for beyond that is refused; what the configuration asks for of all
        pictures is done as far as the limit allows.
        """
        size, most = (picture.width, picture.height), self._limits.searched_pixels
        picture.smallest_face = self._smallest_face if asked is None else asked
        if searched_pixels(*size, picture.smallest_face) > most:
            least = least_face(*size, picture.smallest_face, most)
            if asked is not None:
                raise ServiceError(
                    ErrorKind.SEARCH_TOO_LARGE,
                    f"Of {size[0]}x{size[1]} pixels it can be searched for faces of {least} "
                    "and more.",
                )
            picture.smallest_face = least
        # What a search looks at enlarged must not be reduced before.
        while picture.scale > 1 and 0 < picture.smallest_face < SEEN * picture.scale:
            picture.scale //= 2

    def _begin(self, request: RequestState) -> bool:
        """Reserve a request's pixels, and before that a process where it needs one."""
        if request.costly and self._decoders is not None and not self._decoders.claim(request):
            return False
        request.reservation = self._budget.reserve(request.needed_pixels, request)
        if request.reservation is None:
            return False
        if request.costly and self._decoders is not None:
            self._decoders.start(request)
        return True

    def _is_ready(self, picture: Picture) -> bool:
        """Whether a picture waits to be decoded here."""
        here = self._decoders is None or not is_costly(picture)
        return picture.header is not None and here


def _raise_refusal(request: RequestState) -> None:
    """A picture that could not be decoded now, though another time, is no bad picture."""
    for picture in request.pictures:
        if picture.error is not None and picture.error.kind.grpc_status:
            raise picture.error
