"""What is known of a picture before it is decoded, and what a file may ask of its reader."""

from __future__ import annotations

from dataclasses import dataclass

from ops.errors import ErrorKind, ServiceError

# The limits stand far above what cameras and programs write, and far below what keeps a reader
# busy. A picture that needs more is refused with PICTURE_TOO_COMPLEX.
#
# Encoders write 1 to 14 scans; each one costs a visit to every block, whatever it holds.
MAX_SCANS = 100
# A JPEG of 16 MB whose every segment is full has 256: depth maps and second pictures of phones,
# colour profiles. Empty ones are four bytes each.
MAX_MARKERS = 4096
# PNG: writers put 4 or 8 KB in a chunk, some one row of pixels. WebP: one or two a frame.
MAX_CHUNKS = 20_000
# HEIC and AVIF: items, their pieces, references and properties together. A photo of 48 megapixels
# has 200 tiles, with its second pictures 500, and six of these for each.
MAX_ITEMS = 16_384
# TIFF: writers make strips of 8 KB and more, some of one row; tiles are mostly 256 pixels wide.
MAX_STRIPS = 50_000


@dataclass(frozen=True)
class PictureHeader:
    """A picture's file without its pixels.

    form: "JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "HEIC" or "AVIF".
    width, height: as the decoder gives it, both at least 1.
    orientation: 1 to 8, how what the decoder gives has to be turned (Exif 2.32, tag 274).
    seconds: that decoding takes at most on one core, estimated; see `costs.py` beside this file.
    by_opencv: whether OpenCV decodes it. apart: whether it is decoded in a process of its own,
    however little it takes, since its decoder has often been found to write where it should not.
    start: bytes before the picture, which are passed over. has_end: False for a JPEG without an end
    marker behind the first scan's start.
    """

    form: str
    width: int
    height: int
    orientation: int
    seconds: float
    by_opencv: bool
    apart: bool = False
    start: int = 0
    has_end: bool = True


def broken(what: str) -> ServiceError:
    """The error for a file whose header contradicts itself or ends too early."""
    return ServiceError(ErrorKind.BROKEN_PICTURE, what)


def unsupported(what: str) -> ServiceError:
    """The error for a kind of file that is not read."""
    return ServiceError(ErrorKind.UNSUPPORTED_FORMAT, what)


def too_complex(most: int, what: str) -> ServiceError:
    """The error for a file that has more of something than is taken."""
    return ServiceError(ErrorKind.PICTURE_TOO_COMPLEX, f"More than {most} {what}.")
