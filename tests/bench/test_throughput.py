"""The throughput benchmark: its pictures, the raw side, the published layout, the report."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
import urllib.request

import cv2
import numpy as np
import psutil
import pytest
from rich.console import Console

from bench import throughput
from bench.load import published, report
from bench.load.figures import Load
from bench.load.pictures import NAMES, make_sets
from bench.load.raw import Job, Raw
from bench.load.session import SetResult, check_answer
from ops.local import LocalPipeline
from runtime.ports import free_ports
from settings.config import load_config
from tests.support.service import ROOT

SIZES = {
    "vga": (480, 640),
    "hd": (1080, 1920),
    "six": (960, 1280),
    "aligned": (112, 112),
    "aligned8": (112, 112),
}


@pytest.fixture(scope="module")
def pipeline(models):
    return LocalPipeline.from_config(ROOT / "config.yml")


@pytest.fixture(scope="module")
def recognition(models):
    """The recogniser that the service runs, which may be the fallback."""
    return load_config(ROOT / "config.yml").chosen_models("ArcFace")[0]


@pytest.mark.parametrize("name", NAMES)
def test_a_set_has_exactly_the_faces_that_it_promises(name, pipeline):
    (pictures,) = make_sets([name])
    found = 0
    for text in pictures.pictures:
        file = np.frombuffer(base64.b64decode(text), np.uint8)
        pixels = cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        assert pixels.shape[:2] == SIZES[name]
        found += len(pipeline.analyze(pixels, aligned=pictures.aligned))
    assert found == pictures.faces


def test_the_aligned_face_is_the_portraits_face(pipeline):
    one, aligned = make_sets(["vga", "aligned"])

    def embedding(pictures):
        file = np.frombuffer(base64.b64decode(pictures.pictures[0]), np.uint8)
        pixels = cv2.cvtColor(cv2.imdecode(file, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
        return pipeline.analyze(pixels, aligned=pictures.aligned)[0].embedding

    assert embedding(one) @ embedding(aligned) > 0.8


def test_a_request_has_the_options_only_where_faces_are_aligned():
    one, eight = make_sets(["vga", "aligned8"])
    assert one.key_values()[0] == ["image"]
    keys, values = eight.key_values()
    assert keys == ["image"] * 8 + ["options"]
    assert json.loads(values[-1]) == {"aligned": True}
    assert json.loads(eight.http_body()) == {"key": keys, "value": values}


def test_an_answer_with_other_faces_than_promised_is_refused():
    (pictures,) = make_sets(["six"])
    five = json.dumps({"images": [{"faces": [{}] * 5}]})
    with pytest.raises(RuntimeError, match="5 faces instead of 6"):
        check_answer(0, [five], pictures)
    with pytest.raises(RuntimeError, match="error 5101"):
        check_answer(5101, [], pictures)


def test_the_raw_side_works_through_its_pictures(models):
    (pictures,) = make_sets(["aligned"])
    with Raw(ROOT / "config.yml") as raw:
        result = raw.run(Job(pictures.pictures, pictures.options, 2, 2, 0.3))
        pid = raw.pid
    assert result.qps > 0
    assert len(result.took) >= 2
    assert not psutil.pid_exists(pid)


@pytest.mark.slow
def test_the_published_layout_answers_and_leaves_no_process_behind(recognition):
    one, eight = make_sets(["aligned", "aligned8"])
    layout = published.Layout("small", 2, True)
    rpc_port, http_port = free_ports()
    with published.started(recognition, (rpc_port, http_port), layout) as running:
        family = psutil.Process(running.pid).children(recursive=True)
        assert len(family) >= 4  # the manager, two op processes, the gateway
        for pictures, faces in ((one, 1), (eight, 8)):
            request = urllib.request.Request(running.url, published.http_body(pictures))
            with urllib.request.urlopen(request, timeout=30) as answer:
                content = json.load(answer)
            assert content["err_no"] == 0
            assert content["key"] == ["out"]
            rows = eval(content["value"][0], {"array": np.array, "float32": np.float32})
            assert rows.shape == (faces, 128)
    assert not psutil.pid_exists(running.pid)
    assert [process for process in family if process.is_running()] == []


@pytest.mark.slow
def test_the_published_layout_ends_with_the_process_that_started_it(recognition, tmp_path):
    code = (
        "import sys; from pathlib import Path; from bench.load.published import *;"
        "from runtime.ports import free_ports\n"
        f"with started(Path({str(recognition)!r}), free_ports(), "
        "Layout('small', 1, True)) as running:\n"
        "    print(running.pid, flush=True); sys.stdin.read()"
    )
    bench = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert bench.stdout is not None
    main = psutil.Process(int(bench.stdout.readline()))
    family = [main, *main.children(recursive=True)]
    bench.kill()
    bench.communicate()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


def test_a_report_names_every_side_and_ratio(capsys, tmp_path):
    (pictures,) = make_sets(["aligned"])
    result = SetResult(pictures)
    result.rising = [
        Load("HTTP", 1, 50.0, {"p50": 9.0}),
        Load("HTTP", 8, 90.0, {"p50": 9.0}, cores={"pipeline": 1.8, "generator": 0.02}),
    ]
    for side, qps in (("raw", 100.0), ("HTTP", 90.0), ("published", 45.0)):
        result.rounds[side] = [Load(side, 8, qps, {"p50": 9.0, "p90": 10.0, "p99": 11.0})]
    assert result.ratios() == {"HTTP/raw": 0.9, "HTTP/published": 2.0}
    result.rounds["HTTP"][0].cores["others"] = 0.4
    report.show_set(result, Console(width=120))
    said = capsys.readouterr().out
    assert "Others used up to 0.40 cores" in said
    for words in ("one aligned face", "HTTP/raw 0.90", "HTTP/published 2.00", "generator"):
        assert words in said
    plot = tmp_path / "plot.png"
    report.plot([result], plot)
    assert plot.stat().st_size > 1000
    assert json.loads(json.dumps(result.to_dict()))["ratios"]["HTTP/raw"] == 0.9


def test_eight_faces_a_request_are_held_against_one_by_one():
    one, eight = (SetResult(pictures) for pictures in make_sets(["aligned", "aligned8"]))
    one.rounds = {"published": [Load("published", 8, 150.0)]}
    eight.rounds = {"gRPC": [Load("gRPC", 8, 60.0)]}
    ratios = throughput.eight_against_one([one, eight])
    assert ratios == {"gRPC, eight a request/published, one by one": 3.2}
    assert throughput.eight_against_one([one]) == {}


@pytest.mark.slow
def test_one_short_run_measures_every_side(models, tmp_path, capsys):
    if not shutil.which("h2load"):
        pytest.skip("apt install nghttp2-client")
    out = tmp_path / "figures.json"
    options = ["--sets", "aligned", "--seconds", "0.5", "--runs", "1", "--levels", "2"]
    config = ["--config", str(ROOT / "config.yml"), "--json", str(out), "--published", "tuned"]
    assert throughput.main([*options, *config]) == 0, capsys.readouterr().out
    (figures,) = json.loads(out.read_text())["results"]["sets"]
    assert set(figures["median"]) == {"raw", "HTTP", "gRPC", "published, tuned"}
    assert all(load["qps"] > 0 for load in figures["median"].values())
    assert figures["median"]["HTTP"]["cores"]["pipeline"] > 0
    assert set(figures["ratios"]) >= {"HTTP/raw", "gRPC/raw", "HTTP/published, tuned"}
