"""The image, built from deploy/Dockerfile and run by podman with what is asked of containers.

A build takes minutes and several GB; see `tests/support/deployment/images.py`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from deploy.containers.image_settings import IMAGE, changed
from deploy.containers.places import SETTINGS
from runtime.ports import free_ports
from tests.support import pictures
from tests.support.deployment.images import BASE, Container, Engine, copy_context, need_programs
from tests.support.gateway.client import App
from tests.support.service import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(5400)]

TAG = "face-serving:test"
MOST_BYTES = 1_200_000_000
# Seconds of processor time, which other work on the machine does not lengthen.
START_S = 20.0
MEMORY = "1200m"
FACE = pictures.base64_of(pictures.encode(pictures.astronaut()))
# What is not to get into an image, whoever has it beside the project.
OWN = {
    "data/faces.db": b"people",
    ".env": b"PASSWORD=secret",
    "deploy/secrets/database_password": b"secret",
    "config.mine.yml": b"name: Mine",
    "library/__pycache__/x.pyc": b"old",
}
# Four processes take memory until the pipeline, which has more than any of them, is killed for it.
HOG = """
import glob, os, time
def pipeline():
    for file in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            if b"ops.serving" in open(file, "rb").read():
                return file
        except OSError:
            pass
first, held = pipeline(), []
assert first
for _ in range(3):
    if not os.fork():
        break
while pipeline() == first:
    held.append(bytearray(b"x") * (8 << 20))
    time.sleep(0.01)
"""


@pytest.fixture(scope="module")
def engine(models):
    if os.environ.get("CI"):
        pytest.skip("a build of an image takes longer than a run of CI may")
    need_programs()
    made = Engine()
    try:
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def image(engine, tmp_path_factory):
    """The name of the image for processors, built with the models that are here."""
    context = tmp_path_factory.mktemp("context")
    copy_context(context, OWN)
    engine.make_base()
    file = context / "deploy" / "Dockerfile"
    engine.build(file, context, TAG, ["--target", "cpu"], BASE=BASE, MODELS="given")
    return TAG


class Place:
    """Where the service's container is reached, with the volumes that outlive it."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.rpc_port, self.http_port = free_ports()
        self.port, _ = free_ports()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = folder / "config.yml"
        ports = {"rpc_port": self.rpc_port, "http_port": self.http_port, "gateway.port": self.port}
        self.settings.write_text(changed(ROOT / "config.yml", {**IMAGE, **ports}))
        self.settings.chmod(0o644)
        self._engine = engine

    def start(self, name: str) -> Container:
        """A new container on the same volumes."""
        options = ("--memory", MEMORY, "--memory-swap", MEMORY, "--pids-limit", "512", "--restart",
                   "always", "--volume", f"{self.settings}:{SETTINGS}:ro", "--volume",
                   "face-data:/var/lib/face-serving", "--volume",
                   "face-logs:/var/log/face-serving")  # fmt: skip
        self._engine.run(name, TAG, *options)
        return Container(self._engine, name)


@pytest.fixture(scope="module")
def place(engine, image, tmp_path_factory):
    return Place(engine, tmp_path_factory.mktemp("place"))


@pytest.fixture(scope="module")
def service(place):
    container = place.start("face")
    assert container.becomes_ready(), container.logs()
    return container


@pytest.fixture(scope="module")
def client(place, service):
    """An app's client with a key that was made in the container."""
    made = service.run("python", "-m", "gateway", "keys", "create", "--role", "admin", "--json")
    key = json.loads(made)
    return App(place.url, "shop", headers={"x-api-key": f"{key['id']}.{key['secret']}"})


def test_the_image_is_small_and_has_nothing_that_builds(engine, image):
    assert int(engine.podman("image", "inspect", image, "--format", "{{.Size}}")) < MOST_BYTES
    code = """
import importlib.util, shutil
print([n for n in ("gcc", "cc", "make", "ld", "strip", "pip", "pip3", "git") if shutil.which(n)])
print([n for n in ("pip", "wheel", "scipy", "milvus_lite") if importlib.util.find_spec(n)])
"""
    assert engine.python(image, code).split("\n") == ["[]", "[]", ""]


def test_nothing_of_ones_own_gets_into_the_image(engine, image):
    code = f"""
import pathlib
root = pathlib.Path("/opt/face-serving")
print([name for name in {list(OWN)} if (root / name).exists()])
others = ("tests", "bench", "docs", "deploy/helm", ".git")
print([name for name in others if (root / name).exists()])
"""
    assert engine.python(image, code).split("\n") == ["[]", "[]", ""]
    # The settings of a registry are the build's alone.
    known = engine.podman("image", "inspect", image) + engine.podman("history", "--no-trunc", image)
    assert "host.crt" not in known


def test_the_image_lists_what_is_in_it(engine, image):
    text = engine.python(image, "print(open('/usr/share/face-serving/sbom.json').read())")
    parts = {one["name"]: one for one in json.loads(text)["components"]}
    assert {"paddlepaddle", "numpy", "libgomp1", "python3.11", "blazeface"} <= set(parts)
    assert not {"pip", "wheel", "scikit-image", "milvus-lite"} & set(parts)
    assert parts["blazeface"]["licenses"] == [{"license": {"id": "MIT"}}]


def test_a_container_is_healthy_in_time(service):
    # Read before the checks, which are the container's work as well.
    used = int(service.run("cat", "/sys/fs/cgroup/cpuacct/cpuacct.usage")) / 1e9
    assert used < START_S
    assert service.becomes_healthy(), service.logs()


def test_it_is_nobody_in_particular_and_writes_to_its_volumes_alone(service):
    assert service.run("id").startswith("uid=10001(face) gid=10001(face)")
    for place in ("/opt/face-serving/x", "/etc/face-serving/x", "/x"):
        service.run("touch", place, status=1)
    service.run("touch", "/tmp/x")
    status = service.run("cat", "/proc/1/status")
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status


def test_a_picture_is_recognised_through_it(client):
    found = client.detect(FACE, max_face_num=1)
    assert found["face_num"] == 1
    assert found["face_list"][0]["face_probability"] > 0.5


def test_who_shows_no_key_is_refused(place, service):
    assert App(place.url, "shop").code("face/detect", image=FACE, image_type="BASE64") != 0


def test_what_takes_more_memory_than_it_may_is_killed_and_is_back(service, client):
    def killed():
        control = service.run("cat", "/sys/fs/cgroup/memory/memory.oom_control")
        return int(control.split("oom_kill ")[1])

    before = killed()
    # It may be killed itself, when the pipeline's memory is not free at once.
    service.try_to_run("python", "-", text=HOG)
    assert killed() > before
    assert service.comes_to(lambda: "the pipeline ended with status -9" in service.logs(), 60)
    assert service.becomes_healthy(), service.logs()
    assert client.detect(FACE)["face_num"] == 1


def test_a_container_that_is_killed_is_started_again(service, client):
    os.kill(int(service.inspect("{{.State.Pid}}")), 9)
    assert service.comes_to(lambda: service.inspect("{{.RestartCount}}") == "1", 120)
    assert service.becomes_healthy(), service.logs()
    assert client.detect(FACE)["face_num"] == 1


def test_people_are_there_after_the_container_is_removed_and_made_again(
    engine, place, service, client
):
    token = client.enrol("friends", "eileen", FACE)
    engine.podman("stop", "--time", "60", service.name)
    assert service.inspect("{{.State.ExitCode}}") == "0"
    engine.podman("rm", service.name)
    again = place.start("face-again")
    assert again.becomes_healthy(), again.logs()
    assert client.tokens("friends", "eileen") == [token]
    (person,) = client.result(
        "face/identify", image=FACE, image_type="BASE64", group_id_list="friends"
    )["user_list"]
    assert person["user_id"] == "eileen"
    # Logs are kept as well, those of the container before among them.
    assert again.run("ls", "/var/log/face-serving/PipelineServingLogs").count("gateway.log") == 1
