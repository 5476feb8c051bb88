"""Request: what a client sent becomes a task with upright RGB pictures.

`parse_request` runs where the request arrives and looks at text only; decoding is the work of
the stage. Paddle Serving's own RequestOp unpickles tensors of type BYTES, so nothing of it is
used on requests.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from ops.config import Limits
from ops.errors import ErrorKind, ServiceError
from ops.options import Options, parse_options
from ops.picture import PixelBudget, from_base64, open_picture, pixels_of, reduce_jpeg, upright_size
from ops.runner import Timing
from ops.stage import Worker
from ops.task import Picture, Task


def parse_request(
    keys: Sequence[str], values: Sequence[str], limits: Limits, deadline: float
) -> Task:
    """A task from the parallel lists of a request.

    deadline: seconds on the clock of `time.monotonic`.
    Raises ServiceError: MALFORMED_REQUEST, UNKNOWN_KEY, TOO_MANY_PICTURES, MALFORMED_OPTIONS.
    """
    if len(keys) != len(values):
        raise ServiceError(
            ErrorKind.MALFORMED_REQUEST, f"{len(keys)} keys came with {len(values)} values."
        )
    images: list[str] = []
    options: list[str] = []
    for key, value in zip(keys, values):
        if key == "image":
            images.append(value)
        elif key == "options":
            options.append(value)
        else:
            raise ServiceError(ErrorKind.UNKNOWN_KEY, f"{key[:64]!r} is not known.")
    _check_counts(len(images), len(options), limits)
    parsed = parse_options(options[0]) if options else Options()
    if parsed.max_faces > limits.faces:
        raise ServiceError(ErrorKind.MALFORMED_OPTIONS, f"max_faces: at most {limits.faces} here.")
    pictures = [Picture(encoded=image) for image in images]
    return Task(pictures, parsed, deadline)


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
    """Decodes a task's pictures within the limits; a bad picture gets an error of its own.

    A task is postponed while the pixels of others leave no room for its own.
    reduce_to: a JPEG is decoded at a fraction of its size where its longer side keeps so many
    pixels; 0: never.
    """

    def __init__(self, limits: Limits, budget: PixelBudget, reduce_to: int = 0) -> None:
        self._limits = limits
        self._reduce_to = reduce_to
        self._budget = budget

    def run(self, tasks: Sequence[Task], timing: Timing) -> None:
        started = time.perf_counter()
        for task in tasks:
            self._decode(task)
        timing.prepare += time.perf_counter() - started

    def can_resume(self, task: Task) -> bool:
        return self._budget.fits(task.needed_pixels)

    def _decode(self, task: Task) -> None:
        if not task.postponed:
            self._open_all(task)
        task.postponed = not self._budget.reserve(task.needed_pixels)
        if task.postponed:
            return
        task.reserved_pixels = task.needed_pixels
        for picture in task.pictures:
            image, picture.opened = picture.opened, None
            if image is None:
                continue
            try:
                picture.pixels = pixels_of(image, picture.scale)
            except ServiceError as error:
                picture.error = error

    def _open_all(self, task: Task) -> None:
        for picture in task.pictures:
            text, picture.encoded = picture.encoded or "", None
            try:
                data = from_base64(text, self._limits.picture_bytes)
                picture.opened = open_picture(data, self._limits.picture_pixels)
            except ServiceError as error:
                picture.error = error
            else:
                picture.width, picture.height = upright_size(picture.opened)
                if not task.options.aligned:
                    picture.scale = reduce_jpeg(picture.opened, self._reduce_to)
                task.needed_pixels += picture.opened.width * picture.opened.height
