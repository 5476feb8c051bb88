"""The running service: what it answers over HTTP and gRPC, what it logs."""

from __future__ import annotations

import base64
import io
import json

import cv2
import numpy as np
import psutil
import pytest
from PIL import Image

from ops.errors import ErrorKind
from ops.local import LocalPipeline
from paddle_fence.pipeline import PipelineClient
from tests.conftest import ROOT
from tests.support import pictures
from tests.support.pictures import ONE, blank, crowd
from tests.support.processes.decoders import others_among
from tests.support.service import difference, document, faces, wait_until

# Networks differ in the last digits from run to run: kernels add up by how memory is aligned.
ROUNDING = 1e-3


def test_a_face_is_found_with_landmarks_and_an_embedding_of_unit_length(service):
    answer = service.post(ONE)
    assert answer["err_no"] == 0
    result = document(answer)
    (picture,) = result["images"]
    assert (picture["width"], picture["height"]) == (512, 512)
    (face,) = picture["faces"]
    x1, y1, x2, y2 = face["box"]
    assert 150 < x1 < 220
    assert 50 < y1 < 120
    assert 250 < x2 < 310
    assert 140 < y2 < 240
    assert 0.5 < face["score"] <= 1
    eyes, mouth = face["landmarks"][:2], face["landmarks"][3:]
    assert max(y for _, y in eyes) < min(y for _, y in mouth)
    assert eyes[0][0] < eyes[1][0]
    assert np.linalg.norm(face["embedding"]) == pytest.approx(1, abs=1e-4)
    assert set(result["models"]) == {"Detection", "Landmark", "ArcFace", "Attributes", "Liveness"}
    assert set(face) == {"box", "score", "landmarks", "embedding"}


def test_http_grpc_and_the_published_client_give_the_same_answer(service, capsys):
    over_http = faces(service.post(ONE))
    assert difference(over_http, faces(service.call(ONE))) < ROUNDING
    client = PipelineClient()
    client.connect([f"127.0.0.1:{service.rpc_port}"])
    assert difference(over_http, faces(client.predict(feed_dict={"image": ONE}))) < ROUNDING
    profiled = client.predict(feed_dict={"image": ONE}, profile=True)
    assert difference(over_http, faces(profiled)) < ROUNDING


def test_the_service_answers_what_the_library_calls_answer(service):
    pipeline = LocalPipeline.from_config(ROOT / "config.yml")
    (expected,) = pipeline.analyze(
        np.asarray(Image.open(io.BytesIO(pictures.encode(pictures.astronaut()))))
    )
    (face,) = faces(service.post(ONE))
    assert np.dot(face["embedding"], expected.embedding) > 0.9999
    assert np.abs(face["box"] - expected.box).max() < 0.01


def test_every_part_can_be_asked_for(service):
    want = ["landmarks", "embedding", "attributes", "liveness", "aligned"]
    (face,) = faces(service.post(ONE, want=want))
    assert 15 < face["attributes"]["age"] < 70
    assert face["attributes"]["gender"]["type"] in ("male", "female")
    assert face["attributes"]["emotion"]["type"]
    assert 0 <= face["liveness"]["score"] <= 1
    crop = np.asarray(Image.open(io.BytesIO(base64.b64decode(face["aligned"]))))
    assert crop.shape == (112, 112, 3)
    (box_only,) = faces(service.post(ONE, want=[]))
    assert set(box_only) == {"box", "score"}


def test_an_aligned_face_sent_back_gives_the_same_embedding(service):
    (face,) = faces(service.post(ONE, want=["aligned", "embedding"]))
    (again,) = faces(service.post(face["aligned"], aligned=True))
    assert np.dot(face["embedding"], again["embedding"]) > 0.99
    assert again["box"] == [0, 0, 112, 112]


def test_embeddings_as_base64_are_the_same_numbers(service):
    (face,) = faces(service.post(ONE))
    (packed,) = faces(service.post(ONE, embedding_format="base64"))
    vector = np.frombuffer(base64.b64decode(packed["embedding"]), "<f4")
    assert np.abs(vector - face["embedding"]).max() < 1e-6


def test_no_face_is_a_result_and_many_come_largest_first(service):
    assert faces(service.post(blank())) == []
    found = faces(service.post(crowd(3), max_faces=20))
    assert len(found) == 6
    areas = [(f["box"][2] - f["box"][0]) * (f["box"][3] - f["box"][1]) for f in found]
    assert areas == sorted(areas, reverse=True)
    assert len(faces(service.post(crowd(3), max_faces=2))) == 2
    assert faces(service.post(crowd(3), min_size=400)) == []


def test_several_pictures_are_answered_in_order_and_a_bad_one_alone_fails(service):
    answer = service.post(ONE, "!", blank())
    assert answer["err_no"] == 0
    first, second, third = document(answer)["images"]
    assert len(first["faces"]) == 1
    assert second["error"]["code"] == ErrorKind.NOT_BASE64.code
    assert third["faces"] == []


@pytest.mark.parametrize("orientation", range(1, 9))
def test_boxes_are_in_the_upright_picture(service, orientation):
    (upright,) = faces(service.post(ONE))
    data = pictures.with_orientation(pictures.astronaut(), orientation)
    (face,) = faces(service.post(pictures.base64_of(data)))
    assert np.abs(np.subtract(face["box"], upright["box"])).max() < 3
    assert np.dot(face["embedding"], upright["embedding"]) > 0.98


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_picture_that_is_decoded_at_half_its_size_is_answered_in_its_own_pixels(
    service, orientation
):
    small = pictures.astronaut()
    large = cv2.resize(small, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    (expected,) = faces(service.post(ONE))
    data = pictures.with_orientation(large, orientation)
    answer = service.post(pictures.base64_of(data), min_size=700)
    (image,) = document(answer)["images"]
    (face,) = image["faces"]
    assert (image["width"], image["height"]) == (8 * small.shape[1], 8 * small.shape[0])
    assert np.abs(np.divide(face["box"], 8) - expected["box"]).max() < 4
    assert np.abs(np.divide(face["landmarks"], 8) - expected["landmarks"]).max() < 4
    assert np.dot(face["embedding"], expected["embedding"]) > 0.95


@pytest.mark.parametrize(
    "make", ["grey", "cmyk", "png16", "alpha", "webp", "bmp", "gif", "tiff", "heic", "avif"]
)
def test_unusual_pictures_are_understood(service, make):
    pixels = pictures.astronaut()
    data = {
        "grey": lambda: pictures.encode(pixels.mean(axis=2).astype(np.uint8)),
        "cmyk": lambda: pictures.cmyk_jpeg(pixels),
        "png16": lambda: pictures.png16(pixels),
        "alpha": lambda: pictures.encode(
            np.dstack([pixels, np.full(pixels.shape[:2], 200, np.uint8)]), "PNG"
        ),
        "webp": lambda: pictures.encode(pixels, "WEBP"),
        "bmp": lambda: pictures.encode(pixels, "BMP"),
        "gif": lambda: pictures.gif(pixels),
        "tiff": lambda: pictures.tiff(pixels),
        "heic": lambda: pictures.heic(pixels),
        "avif": lambda: pictures.encode(pixels, "AVIF"),
    }[make]()
    (expected,) = faces(service.post(ONE))
    (face,) = faces(service.post(pictures.base64_of(data)))
    assert np.dot(face["embedding"], expected["embedding"]) > 0.8


def test_a_picture_of_one_pixel_has_no_face(service):
    data = pictures.encode(np.zeros((1, 1, 3), np.uint8), "PNG")
    assert faces(service.post(pictures.base64_of(data))) == []


def test_the_tracer_has_an_entry_for_every_stage(service):
    for _ in range(5):
        service.post(ONE, want=["embedding", "attributes", "liveness"])
    log = service.directory / "PipelineServingLogs" / "pipeline.tracer"
    names = ["Request", "Detection", "Landmark", "ArcFace", "Attributes", "Liveness", "Response"]
    expected = [f"Op({name})" for name in names] + ["QPS["]
    assert wait_until(lambda: all(e in log.read_text() for e in expected), 10)


def test_nothing_of_a_picture_is_logged(service):
    service.post(ONE, "!")
    text = "".join(service.output)
    for path in (service.directory / "PipelineServingLogs").iterdir():
        text += path.read_text()
    assert ONE[1000:1060] not in text
    assert json.dumps(faces(service.post(ONE))[0]["embedding"][:2])[1:-1] not in text


def test_the_service_is_a_pipeline_a_gateway_and_their_parent(service):
    running = others_among(service.processes())
    assert len(running) == 3
    assert all(p.status() != psutil.STATUS_ZOMBIE for p in running)
