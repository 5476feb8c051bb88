"""Pictures that tests send: made here, from scikit-image's sample face or from nothing."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from typing import Any

import numpy as np
import pillow_heif
import skimage.data
from PIL import Image, TiffImagePlugin


def astronaut() -> np.ndarray:
    """(512, 512, 3) uint8, RGB, one face."""
    return np.asarray(skimage.data.astronaut())


def encode(pixels: np.ndarray, form: str = "JPEG", **options: Any) -> bytes:
    """A picture file of an (H, W, 3) RGB, (H, W) grey or (H, W, 4) RGBA array."""
    out = io.BytesIO()
    if form == "JPEG":
        options.setdefault("quality", 95)
    Image.fromarray(pixels).save(out, form, **options)
    return out.getvalue()


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def exif_of(orientation: int) -> bytes:
    """An EXIF block that says nothing else."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def stored(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """How a picture is stored that an orientation turns back into `pixels`."""
    turned = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.transpose(1, 0, 2),
        6: np.rot90(pixels, 1),
        7: np.rot90(pixels, 2).transpose(1, 0, 2),
        8: np.rot90(pixels, 3),
    }
    return np.ascontiguousarray(turned[orientation])


def with_orientation(pixels: np.ndarray, orientation: int, form: str = "JPEG") -> bytes:
    """A file stored so that its orientation turns it back into `pixels`."""
    turned = stored(pixels, orientation)
    if form == "HEIC":
        return heic(turned, orientation)
    if form == "TIFF":
        return tiff(turned, orientation)
    return encode(turned, form, exif=exif_of(orientation))


def heic(pixels: np.ndarray, orientation: int = 1, quality: int = 95) -> bytes:
    """A HEIC whose properties say how to turn it, and whose EXIF block says it again."""
    file = pillow_heif.from_bytes(
        "RGB", pixels.shape[1::-1], np.ascontiguousarray(pixels).tobytes()
    )
    file.info["exif"] = exif_of(orientation)
    out = io.BytesIO()
    file.save(out, quality=quality, enc_params={"preset": "ultrafast"})
    return out.getvalue()


def tiff(pixels: np.ndarray, orientation: int = 1, mode: str = "", **options: Any) -> bytes:
    """mode: of Pillow, into which the pixels are converted."""
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    directory[0x0112] = orientation
    image = Image.fromarray(pixels)
    out = io.BytesIO()
    image = image.convert(mode) if mode else image
    image.save(out, "TIFF", tiffinfo=directory, **options)
    return out.getvalue()


def png_header_bomb(width: int, height: int, size: int) -> bytes:
    """A PNG of `size` bytes that says it has width x height pixels, all of one colour."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000_000))
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    end = chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    padding = max(size - len(start) - len(end) - 12, 0)
    return start + chunk(b"teST", bytes(padding)) + end


def png16(pixels: np.ndarray) -> bytes:
    """A 16-bit grey PNG of an (H, W, 3) RGB array."""
    grey = pixels.mean(axis=2).astype(np.uint16) * 257
    out = io.BytesIO()
    Image.fromarray(grey).save(out, "PNG")
    return out.getvalue()


def cmyk_jpeg(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).convert("CMYK").save(out, "JPEG", quality=95)
    return out.getvalue()


def gif(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "GIF")
    return out.getvalue()


def crowd(columns: int, rows: int = 2) -> str:
    """The sample face several times in one picture."""
    head = astronaut()[0:256, 96:352]
    return base64_of(encode(np.tile(head, (rows, columns, 1))))


def blank(width: int = 320, height: int = 240) -> str:
    return base64_of(encode(np.full((height, width, 3), 90, np.uint8)))


ONE = base64_of(encode(astronaut()))  # one face, 512 x 512, JPEG in base64
