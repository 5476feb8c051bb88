"""GIF, TIFF, HEIC and AVIF: what of them is read, how it is turned, and what is refused and why."""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from ops.errors import PICTURE_FORMATS, ErrorKind, ServiceError
from ops.pictures.picture import PictureLimits, decode_picture, open_picture, upright_size
from tests.support import pictures
from tests.support.heic_grid import phone_heic

LIMITS = PictureLimits(max_bytes=8_000_000, max_pixels=4_000_000)
# Of no size that blocks of 8 or 16 pixels fill.
MARKED = np.zeros((42, 62, 3), np.uint8)
MARKED[:12, :20] = (250, 20, 20)  # red in the upper left corner
MARKED[30:, 42:] = (20, 20, 250)  # blue in the lower right one


def saved(image: Image.Image, form: str, **options) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **options)
    return out.getvalue()


def differs(data: bytes, expected: np.ndarray = MARKED) -> float:
    """Mean difference of a file's pixels from what they should be."""
    decoded = decode_picture(data, LIMITS)
    assert decoded.shape == expected.shape
    assert decoded.dtype == np.uint8
    return float(np.abs(decoded.astype(int) - expected).mean())


def refusal(data: bytes) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        decode_picture(data, LIMITS)
    return caught.value


@pytest.mark.parametrize("form", ["AVIF", "HEIC", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_once_whoever_turns_it(form, orientation):
    data = pictures.with_orientation(MARKED, orientation, form)
    assert differs(data) < 4
    assert upright_size(open_picture(data, LIMITS.max_pixels)) == MARKED.shape[1::-1]


@pytest.mark.parametrize("quarters", range(4))
def test_a_photo_in_tiles_as_phones_write_it(quarters):
    upright = np.ascontiguousarray(pictures.astronaut()[:300, :430])
    data = phone_heic(np.rot90(upright, -quarters), 128, quarters)
    assert upright_size(open_picture(data, LIMITS.max_pixels)) == (430, 300)
    assert differs(data, upright) < 4
    for place in (len(data) - 1, len(data) // 2):
        assert refusal(data[:place]).kind is ErrorKind.BROKEN_PICTURE


@pytest.mark.parametrize("form", ["AVIF", "GIF", "TIFF", "WEBP", "PNG"])
def test_the_first_of_several_pictures_is_taken(form):
    others = [Image.fromarray(255 - MARKED)] * 2
    data = saved(Image.fromarray(MARKED), form, save_all=True, append_images=others)
    assert differs(data) < 4


def test_the_first_frame_of_a_gif_may_be_a_part_of_it_or_reach_beyond_it():
    plain = bytearray(pictures.gif(MARKED))
    frame = plain.index(b"\x2c\0\0\0\0")
    plain[6:10] = (80).to_bytes(2, "little") + (50).to_bytes(2, "little")
    plain[frame + 1 : frame + 5] = (9).to_bytes(2, "little") + (4).to_bytes(2, "little")
    decoded = decode_picture(bytes(plain), LIMITS)
    assert decoded.shape == (50, 80, 3)
    assert np.abs(decoded[4:46, 9:71].astype(int) - MARKED).mean() < 4
    plain[6:10] = (10).to_bytes(2, "little") * 2
    assert decode_picture(bytes(plain), LIMITS).shape == (46, 71, 3)


def test_grey_and_transparent_pictures_become_rgb():
    grey = Image.fromarray(MARKED).convert("L")
    expected = np.asarray(grey)[:, :, None].repeat(3, 2)
    clear = Image.fromarray(np.dstack([MARKED, np.full(MARKED.shape[:2], 90, np.uint8)]))
    for form in ("AVIF", "HEIF", "TIFF"):
        options = {} if form == "TIFF" else {"quality": 95}
        pillow_heif.register_heif_opener()
        assert differs(saved(grey, form, **options), expected) < 4
        assert differs(saved(clear, form, **options)) < 4
    assert differs(saved(grey, "GIF", interlace=True), expected) < 1


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_more_than_8_bits_in_a_heic(mode):
    values = MARKED if mode == "RGB" else MARKED[:, :, :1]
    wide = np.ascontiguousarray(values.astype(np.uint16) * 257)
    out = io.BytesIO()
    pillow_heif.from_bytes(f"{mode};16", MARKED.shape[1::-1], wide.tobytes()).save(out, quality=95)
    assert differs(out.getvalue(), np.broadcast_to(values, MARKED.shape)) < 4


KINDS = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"]


@pytest.mark.parametrize("mode", KINDS)
@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_of_the_usual_kinds(mode, compression):
    image = Image.fromarray(MARKED)
    image = image.convert("L").convert("LA") if mode == "LA" else image.convert(mode)
    expected = np.asarray(image.convert("RGB"))
    assert differs(saved(image, "TIFF", compression=compression), expected) == 0


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK", "YCbCr"])
def test_a_tiff_that_holds_a_jpeg(mode):
    image = Image.fromarray(pictures.astronaut()).convert(mode)
    expected = np.asarray(image.convert("RGB"))
    assert differs(saved(image, "TIFF", compression="jpeg", quality=95), expected) < 4


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_tiff_of_16_bits_is_scaled_by_those_that_it_uses(bits):
    values = (MARKED.astype(np.uint16) << 8 | MARKED) >> (16 - bits)
    alpha = np.full((*MARKED.shape[:2], 1), (1 << bits) - 1, np.uint16)
    forms = {
        "colour": (values[:, :, ::-1], MARKED),
        "grey": (values[:, :, 0], np.broadcast_to(MARKED[:, :, :1], MARKED.shape)),
        "alpha": (np.dstack([values[:, :, ::-1], alpha]), MARKED),
    }
    for stored, expected in forms.values():
        for compression in (1, 5):
            options = [cv2.IMWRITE_TIFF_COMPRESSION, compression]
            data = cv2.imencode(".tiff", np.ascontiguousarray(stored), options)[1].tobytes()
            assert differs(data, expected) <= 1


@pytest.mark.parametrize("form", ["AVIF", "GIF", "HEIC", "TIFF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_half_a_file_is_broken(form, share):
    pixels = np.ascontiguousarray(pictures.astronaut()[::2, ::2])
    data = pictures.heic(pixels) if form == "HEIC" else pictures.encode(pixels, form)
    assert refusal(data[: int(len(data) * share)]).kind is ErrorKind.BROKEN_PICTURE


@pytest.mark.parametrize("form", ["AVIF", "GIF", "HEIC", "TIFF"])
def test_more_pixels_than_allowed_are_refused_by_the_header(form):
    data = pictures.heic(MARKED) if form == "HEIC" else pictures.encode(MARKED, form)
    assert open_picture(data, 42 * 62).form == form
    with pytest.raises(ServiceError) as caught:
        open_picture(data, 42 * 62 - 1)
    assert caught.value.kind is ErrorKind.PICTURE_TOO_MANY_PIXELS


def test_an_exif_block_of_garbage_in_a_heic_or_avif_is_nobodys_business():
    garbage = b"Exif\0\0MM\0*\0\0\0\x08\0\xff" + b"\xff" * 90
    pillow_heif.register_heif_opener()
    for form in ("AVIF", "HEIF"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = saved(Image.fromarray(MARKED), form, exif=garbage, quality=95)
        assert b"Exif" in data
        assert differs(data) < 4


OTHERS = {
    "a PDF": (b"%PDF-1.7 and more", "It is a PDF."),
    "an SVG": (b"\n<svg xmlns='http://www.w3.org/2000/svg'/>", "It is an SVG."),
    "a web page": (b"<!DOCTYPE html><html>", "It is a web page."),
    "JSON": (b'{"error": "not found"}', "It is JSON."),
    "a JPEG XL": (b"\xff\x0a\xfa\x7f\x01", "It is a JPEG XL."),
    "a film": (b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + bytes(50), "It is a film or sound."),
    "base64 twice": (pictures.ONE.encode(), "Its base64 holds base64; encode the file once."),
    "a BigTIFF": (b"II+\0\x08\0\0\0" + bytes(50), "It is a BigTIFF."),
    "text": (b"hello, this is text", ""),
}


@pytest.mark.parametrize("case", OTHERS)
def test_what_is_not_read_is_called_by_its_name(case):
    data, said = OTHERS[case]
    error = refusal(data)
    assert error.kind is ErrorKind.UNSUPPORTED_FORMAT
    assert error.message == " ".join(
        part for part in ("UNSUPPORTED_FORMAT:", said, f"Send a {PICTURE_FORMATS} picture.") if part
    )


@pytest.mark.parametrize(
    ("compression", "said"),
    [
        ("tiff_lzma", "A TIFF that is compressed in this way (34925) is not read."),
        ("float", "A TIFF of such channels is not read; save it with 8 bits each."),
    ],
)
def test_a_tiff_of_another_kind_is_refused_by_its_kind(compression, said):
    image = Image.fromarray(MARKED).convert("F" if compression == "float" else "RGB")
    options = {} if compression == "float" else {"compression": "lzma"}
    error = refusal(saved(image, "TIFF", **options))
    assert error.kind is ErrorKind.UNSUPPORTED_FORMAT
    assert said in error.message
