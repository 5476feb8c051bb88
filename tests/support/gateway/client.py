"""An app of a running gateway, asked in the ways in which clients of the face API ask."""

from __future__ import annotations

import itertools
import uuid
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
from PIL import Image

from tests.support import pictures
from tests.support.pictures import astronaut, base64_of, encode
from tests.support.service import Service

SUCCESS = 0
PRIVATE = "/face-api/v3"
CLOUD = "/rest/2.0/face/v3"
DETECT = f"{PRIVATE}/face/detect"

# The cloud's name of each path of the private deployment that it has as well.
IN_CLOUD = {
    "face/detect": "detect",
    "face/match": "match",
    "face/identify": "search",
    "face/multi-search": "multi-search",
    "face/liveness": "faceverify",
    "face/add": "faceset/user/add",
    "face/update": "faceset/user/update",
    "face/delete": "faceset/face/delete",
    "face/list": "faceset/face/getlist",
    "user/get": "faceset/user/get",
    "user/list": "faceset/group/getusers",
    "user/copy": "faceset/user/copy",
    "user/delete": "faceset/user/delete",
    "group/add": "faceset/group/add",
    "group/delete": "faceset/group/delete",
    "group/list": "faceset/group/getlist",
}

_NUMBERS = itertools.count()


def new_app() -> str:
    """A name that no other test's app has."""
    return f"app_{next(_NUMBERS)}_{uuid.uuid4().hex[:8]}"


@dataclass(frozen=True)
class Style:
    """How a client asks. cloud: the cloud's paths. form: form fields in place of JSON.

    appid: "query" or "body", whichever carries it.
    """

    cloud: bool = False
    form: bool = False
    appid: str = "body"


STYLES = {
    "private-json-appid_in_body": Style(),
    "private-json-appid_in_query": Style(appid="query"),
    "private-form-appid_in_body": Style(form=True),
    "private-form-appid_in_query": Style(form=True, appid="query"),
    "cloud-json": Style(cloud=True, appid="query"),
    "cloud-form": Style(cloud=True, form=True),
}


class App:
    """One app, by its name. Every answer's frame is checked, whatever it says."""

    def __init__(
        self,
        url: str,
        name: str,
        style: Style = STYLES["private-json-appid_in_body"],
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> None:
        self.url = url
        self.name = name
        self.style = style
        self.query = dict(query or {})
        self.client = httpx.Client(
            base_url=url, headers=headers, timeout=60, trust_env=False, verify=False
        )

    def address(self, path: str) -> str:
        """The path in this client's spelling."""
        if path.startswith("/"):
            return path
        return f"{CLOUD}/{IN_CLOUD[path]}" if self.style.cloud else f"{PRIVATE}/{path}"

    def ask(self, path: str, body: Any = None, **parameters: Any) -> dict[str, Any]:
        """The answer to parameters, or to a body that is a list, as JSON."""
        query = dict(self.query)
        if self.name and (body is not None or self.style.appid == "query"):
            query["appid"] = self.name
        elif self.name:
            parameters["appid"] = self.name
        if body is not None:
            answer = self.client.post(self.address(path), params=query, json=body)
        elif self.style.form:
            answer = self.client.post(self.address(path), params=query, data=parameters)
        else:
            answer = self.client.post(self.address(path), params=query, json=parameters)
        return document(answer)

    def code(self, path: str, body: Any = None, **parameters: Any) -> int:
        """The error's number, 0 for success."""
        return int(self.ask(path, body, **parameters)["error_code"])

    def result(self, path: str, body: Any = None, **parameters: Any) -> Any:
        """The result of a request that succeeds."""
        answer = self.ask(path, body, **parameters)
        assert answer["error_code"] == SUCCESS, answer
        return answer["result"]

    def detect(self, image: str, **parameters: Any) -> dict[str, Any]:
        """The result of detection in a picture in base64."""
        return dict(self.result("face/detect", image=image, image_type="BASE64", **parameters))

    def token(self, image: str) -> str:
        """The token of a picture's largest face."""
        return str(self.detect(image)["face_list"][0]["face_token"])

    def enrol(self, group: str, user: str, image: str, **parameters: Any) -> str:
        """Add a face of a picture in base64, or of a token with image_type; its token."""
        parameters.setdefault("image_type", "BASE64")
        content = {"image": image, "group_id": group, "user_id": user, **parameters}
        return str(self.result("face/add", **content)["face_token"])

    def tokens(self, group: str, user: str) -> list[str]:
        """The tokens of a user's faces."""
        listed = self.result("face/list", group_id=group, user_id=user)["face_list"]
        return [face["face_token"] for face in listed]

    def users(self, group: str) -> list[str]:
        """The names of a group's users."""
        return list(self.result("user/list", group_id=group)["user_id_list"])

    def groups(self) -> list[str]:
        """The names of the app's groups."""
        return list(self.result("group/list")["group_id_list"])


def document(answer: httpx.Response) -> dict[str, Any]:
    """The answer's document: HTTP 200 and the frame that the API has around every result."""
    assert answer.status_code == 200, answer.text
    content = answer.json()
    frame = {"error_code", "error_msg", "log_id", "timestamp", "cached", "result"}
    assert frame <= content.keys(), content
    assert all(type(content[key]) is int for key in ("error_code", "log_id", "timestamp", "cached"))
    assert content["cached"] == 0
    assert isinstance(content["error_msg"], str)
    if content["error_code"] == SUCCESS:
        assert content["error_msg"] == "SUCCESS"
    else:
        assert content["error_msg"] != "SUCCESS"
        assert content["result"] is None
        assert "Traceback" not in content["error_msg"]
    return dict(content)


def of(image: str, **parameters: Any) -> dict[str, Any]:
    """A picture in base64 as an element of face/match and face/liveness."""
    return {"image": image, "image_type": "BASE64", **parameters}


def by_token(token: str, **parameters: Any) -> dict[str, Any]:
    """A face by its token, as parameters or as an element."""
    return {"image": token, "image_type": "FACE_TOKEN", **parameters}


def head() -> np.ndarray:
    """(256, 256, 3) uint8, RGB: the sample face, close."""
    return np.ascontiguousarray(astronaut()[0:256, 96:352])


def turned(pixels: np.ndarray, degrees: float) -> np.ndarray:
    """The picture turned clockwise about its middle."""
    picture = Image.fromarray(pixels)
    return np.asarray(picture.rotate(-degrees, resample=Image.Resampling.BICUBIC))


def version(number: object) -> str:
    """The sample face in a file of its own, so that it is another picture than `FACE`."""
    file, text = encode(head(), quality=85), str(number).encode()
    # A comment, behind the marker that a JPEG begins with.
    return base64_of(file[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + file[2:])


FACE = base64_of(encode(head(), quality=85))
# The same face in another light and from the other side.
SIMILAR = base64_of(encode((head()[:, ::-1] * 0.8).astype(np.uint8), quality=85))
NOBODY = pictures.blank(96, 96)
BROKEN = base64_of(encode(head(), quality=85)[:3000])
PICTURE = {"image": FACE, "image_type": "BASE64"}


def still_there(service: Service) -> None:
    """The service answers, the pipeline as well."""
    content = {**PICTURE, "appid": "any"}
    answer = httpx.post(f"{service.gateway_url}{DETECT}", json=content, timeout=60)
    assert document(answer)["error_code"] in (0, 110)
