"""How long decoding takes at most, told from the header.

The figures are the slowest that files made for the purpose reached on one core of a Xeon of
2023: noise, empty scans, a new table of codes every hundred bytes. Ordinary pictures take a
half to a fifth. They decide where a picture is decoded, not whether.
"""

from __future__ import annotations

_NS = 1e-9
# A code of a lossless WebP can change every 4 x 4 pixels, and has a few bytes.
_WEBP_CODE_PIXELS = 16
_WEBP_CODE_BYTES = 4
_WEBP_CODES = 65_536
_WEBP_CODE_NS = 20_000


def jpeg_seconds(size: int, pixels: int, scans: int, slow: bool, arithmetic: bool) -> float:
    """size: bytes of the file. scans: that visit the whole picture.

    slow: whether coefficients are gathered over several scans.
    """
    if arithmetic:
        return (60 * size + 40 * pixels * scans) * _NS
    if slow:
        return (30 * size + (6 + scans) * pixels) * _NS
    return (10 * size + 8 * pixels) * _NS


def png_seconds(size: int, pixels: int, unpacked: int) -> float:
    """unpacked: bytes of all rows."""
    return (30 * size + 5 * unpacked + 5 * pixels) * _NS


def webp_seconds(size: int, pixels: int, lossless: bool) -> float:
    """lossless: whether any part, as the alpha channel, may be."""
    if not lossless:
        return (80 * size + 8 * pixels) * _NS
    codes = min(size // _WEBP_CODE_BYTES, pixels // _WEBP_CODE_PIXELS, _WEBP_CODES)
    # The picture beside its alpha channel may be a lossy one.
    return (80 * size + 20 * pixels + _WEBP_CODE_NS * codes) * _NS


def bmp_seconds(size: int, pixels: int) -> float:
    """Run lengths included."""
    return (20 * size + 10 * pixels) * _NS


def gif_seconds(size: int, pixels: int) -> float:
    """Seconds of a GIF's first frame."""
    return (30 * size + 20 * pixels) * _NS


def tiff_seconds(size: int, pixels: int, unpacked: int) -> float:
    """unpacked: bytes of all rows."""
    return (20 * size + 8 * unpacked + 8 * pixels) * _NS


def heic_seconds(size: int, pixels: int) -> float:
    """Seconds of HEVC in a picture."""
    return (80 * size + 60 * pixels) * _NS


def avif_seconds(size: int, pixels: int) -> float:
    """Seconds of AV1 in a picture."""
    return (80 * size + 45 * pixels) * _NS
