"""A request on its way through the DAG."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ops.errors import ServiceError
from ops.options import Options
from ops.pictures.headers.header import PictureHeader
from ops.pictures.pixel_budget import Reservation
from ops.request_trace import RequestTrace
from vision.face import Face


@dataclass
class Picture:
    """One picture of a request.

    encoded: base64 text as the client sent it; None once it has been opened.
    data, header: its file, opened; None before and once it has been decoded.
    pixels: (H, W, 3) uint8, RGB, upright; None until decoded, and where `error` is set.
    width, height: of the picture as sent, upright. scale: by what that was divided in `pixels`;
    boxes and points of the faces are in `pixels`. smallest_face: pixels of the picture as sent, of
    faces that are searched for; 0: those that one look finds.
    """

    encoded: str | None = None
    data: bytes | None = None
    header: PictureHeader | None = None
    pixels: np.ndarray | None = None
    width: int = 0
    height: int = 0
    scale: int = 1
    smallest_face: int = 0
    faces: list[Face] = field(default_factory=list)
    error: ServiceError | None = None

    @property
    def rgb(self) -> np.ndarray:
        """The pixels of a picture that is usable."""
        if self.pixels is None:
            raise ValueError("the picture has not been decoded")
        return self.pixels


@dataclass(eq=False)
class RequestState:
    """A request's pictures and options, how long it may take, and how far it has come.

    deadline: on the clock of `time.monotonic`, seconds.
    error: set when the whole request has failed; stages then leave the request alone.
    document: the answer (JSON), set by the last stage.
    needed_pixels: of all pictures, decoded. reservation: of them, once there is room.
    costly: some of the pictures take long; decoding: those are with a process of their own now.
    postponed: the stage that had the request asks to get it again when it can go on.
    trace: where each stage notes its part; None for a request that is not traced.
    """

    pictures: list[Picture]
    options: Options = field(default_factory=Options)
    deadline: float = float("inf")
    error: ServiceError | None = None
    document: str = ""
    needed_pixels: int = 0
    reservation: Reservation | None = None
    costly: bool = False
    decoding: bool = False
    postponed: bool = False
    cancelled: bool = False
    trace: RequestTrace | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> RequestState:
        # A channel with several consumers deep-copies its items for all but the last one.
        # Stages share it instead: each writes fields of its own.
        return self

    @property
    def live(self) -> bool:
        """Whether there is still somebody to answer."""
        return self.error is None and not self.cancelled and time.monotonic() < self.deadline

    def usable_pictures(self) -> list[Picture]:
        """Pictures that were decoded."""
        return [picture for picture in self.pictures if picture.pixels is not None]

    def faces(self) -> list[tuple[Picture, Face]]:
        """All faces of the request, in order, each with its picture."""
        return [(p, face) for p in self.usable_pictures() for face in p.faces]
