"""Two recognisers joined, of the face and its mirror image, through every interface."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from bench.accuracy import LIMITS
from client.pipeline.answer import Options
from client.pipeline.http import HttpTransport
from inference.recogniser import load_recogniser
from ops.local import LocalPipeline
from ops.pictures.picture import decode_picture
from settings.config import load_config
from tests.support.gateway.client import App, new_app
from tests.support.models.recognisers import renamed
from tests.support.pictures import ONE, astronaut, base64_of, encode
from tests.support.service import difference, document, faces

pytestmark = pytest.mark.service

NAME = "one:1+other:1.5+flip"


@pytest.fixture
def joined(models, tmp_path, make_service):
    """A service whose recognisers are joined, without what this needs not."""
    folder = tmp_path / "models"
    for name in ("one", "other"):
        renamed(folder, name)
    for name in ("blazeface", "facemesh"):
        (folder / name).symlink_to((models / name).resolve())

    def change(settings):
        del settings["op"]["Attributes"], settings["op"]["Liveness"]
        settings["op"]["Response"]["inputs"] = ["ArcFace"]
        section = settings["op"]["ArcFace"]
        del section["model"], section["fallback"]
        section.update(models=["one", "other"], weights=[1, 1.5], flip=True)
        settings["models_dir"] = str(folder)

    return make_service(change, gateway=True)


def test_joined_embeddings_are_the_same_over_all_interfaces_and_find_people(joined):
    answer = joined.post(ONE)
    assert document(answer)["models"]["ArcFace"] == NAME
    (over_http,) = faces(answer)
    assert np.shape(over_http["embedding"]) == (256,)
    assert np.linalg.norm(over_http["embedding"]) == pytest.approx(1, abs=1e-4)
    assert difference([over_http], faces(joined.call(ONE))) < 1e-3
    transport = HttpTransport(joined.url, timeout=60)
    (typed,) = transport.predict(ONE, Options(want=("embedding",))).image.faces
    transport.close()
    assert typed.embedding @ over_http["embedding"] > 0.99999

    config = load_config(joined.config)
    pixels = decode_picture(base64.b64decode(ONE), LIMITS)
    (in_process,) = LocalPipeline.from_config(joined.config).analyze(pixels)
    assert in_process.embedding @ over_http["embedding"] > 0.99999
    section = config.op["ArcFace"]
    recogniser = load_recogniser(config.chosen_models("ArcFace"), section.weights, section.flip)
    assert (recogniser.name, recogniser.dim) == (NAME, 256)

    app = App(joined.gateway_url, new_app())
    app.result("group/add", group_id="staff")
    app.enrol("staff", "eileen", ONE)
    darker = base64_of(encode(astronaut() // 2))
    (hit,) = app.result("face/identify", image=darker, image_type="BASE64", group_id_list="staff")[
        "user_list"
    ]
    assert hit["user_id"] == "eileen"
    assert hit["score"] > 80
    assert app.client.get("/health").json()["models"]["ArcFace"] == NAME
