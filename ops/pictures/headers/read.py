"""From a file's first bytes to the reader of its format."""

from __future__ import annotations

import dataclasses
import re

from ops.pictures.headers import bmp, gif, heif, jpeg, png, tiff, webp
from ops.pictures.headers.header import PictureHeader, broken, unsupported

# What programs write before a picture by mistake: an empty line, a mark of the byte order.
_BLANK = re.compile(rb"(?:\xef\xbb\xbf)?[\t\n\v\f\r ]{0,1024}")
# Bytes in which the start of a JPEG is looked for where the file starts with something else.
_SEARCHED = 1024
# What is sent instead of a picture, by its first bytes.
_OTHERS = (
    (b"%pdf", "It is a PDF."),
    (b"<svg", "It is an SVG."),
    (b"<?xml", "It is XML."),
    (b"<!doctype html", "It is a web page."),
    (b"<html", "It is a web page."),
    (b"{", "It is JSON."),
    (b"\0\0\0\x0cjp  ", "It is a JPEG 2000."),
    (b"\xff\x4f\xff\x51", "It is a JPEG 2000."),
    (b"\0\0\0\x0cjxl ", "It is a JPEG XL."),
    (b"\xff\x0a", "It is a JPEG XL."),
    (b"8bps", "It is a Photoshop file."),
    (b"\0\0\1\0", "It is an icon."),
    (b"pk\3\4", "It is a ZIP archive."),
    (b"\x1f\x8b", "It is a gzip archive."),
    (b"data:", "Its base64 holds a data: URL; encode the file once."),
    (b"/9j/", "Its base64 holds base64; encode the file once."),
    (b"ivborw0kggo", "Its base64 holds base64; encode the file once."),
)


def read_header(data: bytes) -> PictureHeader:
    """What a file says about itself; decodes nothing and allocates nothing for pixels.

    Raises ServiceError: UNSUPPORTED_FORMAT, BROKEN_PICTURE, PICTURE_TOO_COMPLEX.
    """
    header = _read(data)
    if header is not None:
        return header
    blank = _BLANK.match(data)
    start = blank.end() if blank else 0
    if start:
        header = _read(data[start:])
        if header is not None:
            return dataclasses.replace(header, start=start)
    first = data[start : start + 16].lower()
    for signature, what in _OTHERS:
        if first.startswith(signature):
            raise unsupported(what)
    if data.startswith(tiff.BIG_STARTS):
        raise unsupported("It is a BigTIFF.")
    place = data.find(jpeg.START, 1, _SEARCHED)
    if place > 0:
        raise broken(f"{place} bytes that belong to no picture stand before a JPEG's start.")
    raise unsupported("")


def _read(data: bytes) -> PictureHeader | None:
    """The header; None where the file is of no format that is read."""
    if data.startswith(jpeg.START) and len(data) > len(jpeg.START):
        return jpeg.read_jpeg(data)
    if data.startswith(png.START):
        return png.read_png(data)
    if data.startswith(webp.START) and data[8:12] == webp.FORM:
        return webp.read_webp(data)
    if heif.is_media(data):
        return heif.read_heif(data)
    if data.startswith(gif.STARTS):
        return gif.read_gif(data)
    if data.startswith(tiff.STARTS):
        return tiff.read_tiff(data)
    if data.startswith(bmp.START):
        return bmp.read_bmp(data)
    return None
