"""A process that decodes costly pictures and can be killed in the middle of one.

It is told of a picture over the socket that is its standard input, with two descriptors: one
holds the file, the pixels go into the other. Nothing is unpickled on either side.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import resource
import socket
import struct
import sys

import cv2
import numpy as np

from ops.errors import ErrorKind, ServiceError
from ops.pictures.headers.header import PictureHeader
from ops.pictures.headers.read import read_header
from ops.pictures.picture import pixels_of
from runtime.process import die_with_parent

# Bytes of the file, by what the size is divided.
REQUEST = struct.Struct("!QI")
# 0 or the number of an error, height, width of the upright picture.
ANSWER = struct.Struct("!III")
# Processor seconds for one picture: three times what the slowest of 50 megapixels took that is
# within the limits on headers.
PICTURE_CPU_S = 15
# Recognising goes first where both want a core.
_NICENESS = 10
# Of memory for a picture: the coefficients of a progressive JPEG are 8 bytes a pixel; those of a
# WebP 4, and a third of a gigabyte of codes.
_BYTES_PER_PIXEL = 16
_SPARE_BYTES = 128 * 1024 * 1024
_SPARE_BYTES_OF_WEBP = 512 * 1024 * 1024
_PAGE = resource.getpagesize()


def memory_for(pixels: int, form: str = "WEBP") -> int:
    """Bytes that decoding a picture of so many pixels takes at most.

    form: see `PictureHeader`; by default that which takes most.
    """
    spare = _SPARE_BYTES_OF_WEBP if form == "WEBP" else _SPARE_BYTES
    return spare + _BYTES_PER_PIXEL * pixels


class _Bounds:
    """What a picture may take of memory and of processor time."""

    def __init__(self, memory: int) -> None:
        """memory: bytes that the process may have more than now, whatever the picture."""
        with open("/proc/self/statm") as file:
            self._held = int(file.read().split()[5]) * _PAGE
        self._memory = memory
        resource.setrlimit(resource.RLIMIT_DATA, (self._held + memory, self._held + memory))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        # Where memory runs out altogether, the kernel takes this process rather than the service.
        with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("500")

    def allow_memory(self, header: PictureHeader) -> None:
        """Let a picture have what its header is good for, whatever its pixels ask for."""
        memory = min(self._memory, memory_for(header.width * header.height, header.form))
        resource.setrlimit(resource.RLIMIT_DATA, (self._held + memory, self._held + self._memory))

    def allow_cpu(self) -> None:
        """The kernel ends the process (SIGXCPU) when a picture takes longer."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        soft = math.ceil(used.ru_utime + used.ru_stime) + PICTURE_CPU_S
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def main(argv: list[str]) -> int:
    """Decode until the socket is closed: ``ops.pictures.decoder_process BYTES``, of memory."""
    die_with_parent()
    _close_inherited()
    cv2.setNumThreads(1)
    os.nice(_NICENESS)
    bounds = _Bounds(int(argv[0]))
    with socket.socket(fileno=os.dup(0)) as parent:
        while True:
            request, descriptors, _, _ = socket.recv_fds(parent, REQUEST.size, 2)
            if len(request) != REQUEST.size or len(descriptors) != 2:
                return 0
            size, reduction = REQUEST.unpack(request)
            bounds.allow_cpu()
            try:
                answer = _decode(descriptors[0], size, reduction, descriptors[1], bounds)
            finally:
                for descriptor in descriptors:
                    os.close(descriptor)
            parent.sendall(ANSWER.pack(*answer))


def _decode(
    source: int, size: int, reduction: int, target: int, bounds: _Bounds
) -> tuple[int, int, int]:
    """The answer; the pixels are in `target` where it is no error."""
    try:
        data = os.pread(source, size, 0)
        header = read_header(data)
        bounds.allow_memory(header)
        pixels = pixels_of(data, header, reduction)
        del data
        with mmap.mmap(target, pixels.nbytes) as memory:
            shared = np.frombuffer(memory, np.uint8).reshape(pixels.shape)
            shared[:] = pixels
            del shared
    except ServiceError as error:
        return error.code, 0, 0
    except MemoryError:
        return ErrorKind.BUSY.code, 0, 0
    return 0, pixels.shape[0], pixels.shape[1]


def _close_inherited() -> None:
    """Descriptors that libraries of the parent left open."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            with contextlib.suppress(OSError):  # that of the listing is gone already
                os.close(int(name))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
