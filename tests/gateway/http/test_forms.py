"""Forms and JSON as clients send them: files, texts of any script, under any content type."""

from __future__ import annotations

import base64
import gzip
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest

from gateway.http.forms import FormError, parse_urlencoded
from tests.support.gateway.client import CLOUD, FACE, PICTURE, PRIVATE, App, document, head
from tests.support.pictures import encode
from web.json_text import MOST_WIDE, parse_json

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
FILE = encode(head(), quality=85)
NAME = "张三 + José"
MARK = b"\xef\xbb\xbf"


def posted(app: App, path: str, **request: Any) -> dict[str, Any]:
    return document(app.client.post(app.address(path), params={"appid": app.name}, **request))


def sent(app: App, path: str, body: bytes, kind: str | None) -> dict[str, Any]:
    headers = {} if kind is None else {"content-type": kind}
    return posted(app, path, content=body, headers=headers)


@pytest.mark.parametrize("path", [f"{PRIVATE}/face/detect", f"{CLOUD}/detect"])
@pytest.mark.parametrize(
    "fields", [{}, {"image_type": "BASE64"}, {"image_type": "base64"}, {"image_type": ""}]
)
def test_a_picture_may_be_a_file_of_a_form(app, path, fields):
    files = {"image": ("face.jpg", FILE, "image/jpeg")}
    answer = posted(app, path, data={"max_face_num": "2", **fields}, files=files)
    assert answer["error_code"] == 0
    assert answer["result"]["face_num"] == 1


def test_a_file_enrols_and_finds_a_person(app):
    app.result("group/add", group_id="staff")
    files = {"image": ("face.jpg", FILE)}
    person = {"group_id": "staff", "user_id": "ada", "user_info": NAME}
    assert posted(app, "face/add", data=person, files=files)["error_code"] == 0
    asked = {"group_id_list": "staff"}
    (found,) = posted(app, "face/identify", data=asked, files=files)["result"]["user_list"]
    assert (found["user_id"], found["user_info"]) == ("ada", NAME)
    several = posted(app, "face/multi-search", data=asked, files=files)["result"]
    assert several["face_list"][0]["user_list"][0]["user_id"] == "ada"


@pytest.mark.parametrize(
    ("file", "fields", "code"),
    [
        (b"no picture", {}, 222203),
        (b"", {}, 222001),
        (FILE[:2000], {}, 222203),
        (FILE, {"image_type": "URL"}, 222013),
        (FILE, {"image_type": "FACE_TOKEN"}, 222013),
        (FILE, {"max_face_num": "0"}, 222016),
    ],
)
def test_a_file_that_is_no_picture_or_no_answer_to_the_type_is_refused(app, file, fields, code):
    answer = posted(app, "face/detect", data=fields, files={"image": ("face.jpg", file)})
    assert answer["error_code"] == code


def test_the_base64_of_a_picture_may_be_a_field_of_a_multipart_form(app):
    files = {name: (None, value) for name, value in PICTURE.items()}
    assert posted(app, "face/detect", files=files)["error_code"] == 0


def test_a_file_of_another_name_is_not_the_picture(app):
    answer = posted(app, "face/detect", files={"file": ("face.jpg", FILE)})
    assert answer["error_code"] == 222001


def enrolled(app: App, body: bytes, kind: str | None) -> str:
    """The remark of a person that a form enrols."""
    app.code("group/add", group_id="staff")
    assert sent(app, "face/add", body, kind)["error_code"] == 0
    (user,) = app.result("user/get", group_id="staff", user_id="ada")["user_list"]
    return str(user["user_info"])


def form(user_info: str) -> bytes:
    """A form with a remark that is written as it stands here."""
    image = quote(FACE, safe="")
    fields = f"user_info={user_info}&user_id=ada&group_id=staff&image_type=BASE64&image={image}"
    return fields.encode()


@pytest.mark.parametrize("kind", [FORM, f"{FORM}; charset=UTF-8", f"{FORM};charset=utf8"])
@pytest.mark.parametrize(
    ("user_info", "expected"),
    [
        ("张三", "张三"),
        ("张三 & co".replace("&", "%26"), "张三 & co"),
        ("张三+%2B+Jos%C3%A9", NAME),
        (quote(NAME), NAME),
        ("%E5%BC%A0三", "张三"),
    ],
)
def test_a_form_may_have_utf_8_as_it_is_or_quoted(app, kind, user_info, expected):
    assert enrolled(app, form(user_info), kind) == expected


@pytest.mark.parametrize(
    "kind", ["application/json", "text/plain", None, "application/octet-stream"]
)
def test_a_form_is_read_as_one_under_any_content_type(app, kind):
    assert enrolled(app, form("张三"), kind) == "张三"
    marked = MARK + f"image_type=BASE64&image={quote(FACE, safe='')}".encode()
    assert sent(app, "face/detect", marked, kind)["error_code"] == 0


@pytest.mark.parametrize("kind", [FORM, f"{FORM}; charset=UTF-8", MULTIPART, "text/plain", None])
@pytest.mark.parametrize("before", [b"", MARK, b" \r\n"])
def test_json_is_read_as_such_under_any_content_type(app, kind, before):
    body = before + b'{"image": "%b", "image_type": "BASE64"}' % FACE.encode()
    assert sent(app, "face/detect", body, kind)["error_code"] == 0


@pytest.mark.parametrize("before", [b"", MARK])
def test_an_array_of_json_is_read_under_the_type_of_a_form(app, before):
    one = b'{"image": "%b", "image_type": "BASE64"}' % FACE.encode()
    answer = sent(app, "face/match", before + b"[%b,%b]" % (one, one), FORM)
    assert answer["error_code"] == 0


@pytest.mark.parametrize(
    "body", [b"hello", b'"a=b"', b"=", b"a b=c", b"--b\r\na=b", b"\xff=1", b"a/b=c", b"1", MARK]
)
def test_what_is_neither_json_nor_a_form_is_refused(app, body):
    assert sent(app, "group/list", body, "application/json")["error_code"] == 216100


def test_compare_takes_a_packed_form(service):
    with httpx.Client(timeout=60, trust_env=False) as client:
        files = {"image1": FILE, "image2": ("b.jpg", base64.b64decode(FACE))}
        made = client.build_request("POST", f"{service.gateway_url}/compare", files=files)
        headers = {"content-type": made.headers["content-type"], "content-encoding": "gzip"}
        content = gzip.compress(made.read())
        answer = client.post(made.url, content=content, headers=headers)
        assert answer.json()["is_same_person"] is True
        headers["content-encoding"] = "br"
        answer = client.post(made.url, content=content, headers=headers)
        assert (answer.status_code, answer.json()["error_code"]) == (400, 216100)


def test_a_form_of_urllib_is_read_as_it_was():
    fields = {"a": NAME, "b c": "=&%", "": "x", "e": ""}
    assert parse_urlencoded(urlencode(fields).encode()) == fields
    assert parse_urlencoded(MARK + "a=张三".encode()) == {"a": "张三"}


@pytest.mark.parametrize(
    "body", [b"a=\xff", b"\xc3=1", b"a=%ff", "a=é".encode() + b"b" * MOST_WIDE]
)
def test_a_form_of_another_encoding_or_of_too_much_text_is_refused(body):
    with pytest.raises(FormError):
        parse_urlencoded(body)


def test_a_byte_order_mark_is_no_part_of_the_json():
    assert parse_json(MARK + b'{"a": 1}') == {"a": 1}
    assert parse_json(bytearray(MARK + b"[]")) == []
    for body in (MARK, MARK + MARK + b"{}", b"{}" + MARK, '{"a": 1}'.encode("utf-16")):
        with pytest.raises(ValueError, match="not JSON"):
            parse_json(body)
