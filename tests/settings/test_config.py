"""config.yml: what is refused, and that the refusal names the key."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from settings.config import ConfigError, load_config
from settings.library import LibraryConfig
from settings.licences import licence_of
from web_service import say_models

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def settings():
    return yaml.safe_load((ROOT / "config.yml").read_text())


@pytest.fixture
def load(tmp_path):
    def load_settings(settings):
        path = tmp_path / "config.yml"
        path.write_text(settings if isinstance(settings, str) else yaml.safe_dump(settings))
        return load_config(path)

    return load_settings


def test_the_file_in_the_repository_is_valid():
    config = load_config(ROOT / "config.yml")
    assert config.op["Detection"].models == ("blazeface",)
    assert config.op["Attributes"].models == ("faceres", "emotion")
    assert config.op["Detection"].device(0) == "cpu"


def test_devices_are_shared_out_over_the_threads(settings, load):
    settings["op"]["Detection"]["devices"] = "0,2"
    op = load(settings).op["Detection"]
    assert [op.device(number) for number in range(3)] == ["gpu:0", "gpu:2", "gpu:0"]
    settings["op"]["Detection"]["concurrency"] = 1
    op = load(settings).op["Detection"]
    assert [op.device(0, replica) for replica in range(3)] == ["gpu:0", "gpu:2", "gpu:0"]


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("limits", "pixels_in_memory"), 1000, "limits.pixels_in_memory: 1000 is not allowed: a"),
        (("op", "Detection", "concurrency"), 0, "op.Detection.concurrency: 0 is not allowed"),
        (("op", "Detection", "concurrency"), "2", "op.Detection.concurrency: '2' is not allowed"),
        (("op", "Detection", "batch_size"), 0, "op.Detection.batch_size: 0 is not allowed"),
        (("op", "Detection", "devices"), "gpu", "op.Detection.devices: 'gpu' is not allowed"),
        (("op", "Detection", "modell"), "x", "op.Detection.modell: unknown key"),
        (("op", "Detection", "models"), [], "op.Detection.model: missing"),
        (("op", "Nose"), {"inputs": ["Request"]}, "op.Nose: unknown op"),
        (("op", "ArcFace", "inputs"), ["Nobody"], "op.ArcFace.inputs: 'Nobody'"),
        (("op", "Request", "inputs"), ["Response"], "Request has no inputs"),
        (("op", "Detection", "inputs"), ["ArcFace"], "op.Request: no other op|circle"),
        (("op", "ArcFace", "inputs"), ["Detection"], "equally far"),
        (("op", "Request", "model"), "blazeface", "op.Request: it runs no model"),
        (("op", "Detection", "models"), ["a", "b"], "it runs one model"),
        (("op", "ArcFace", "models"), ["a", "b"], "op.ArcFace.fallback: allowed beside a single"),
        (("op", "ArcFace", "weights"), [1, 2], "one for each of several models"),
        (("op", "ArcFace", "weights"), [0], "op.ArcFace.weights: (0,) is not allowed"),
        (("op", "ArcFace", "flip"), 1, "op.ArcFace.flip: 1 is not allowed"),
        (("op", "Attributes", "flip"), True, "op.Attributes: flip and weights are not allowed"),
        (("op", "Liveness", "weights"), [1, 2], "op.Liveness: flip and weights are not allowed"),
        (("rpc_port",), 70000, "rpc_port: 70000 is not allowed"),
        (("http_port",), 18091, "http_port: 18091 is not allowed"),
        (("limits", "queue_length"), 0, "limits.queue_length: 0 is not allowed"),
        (("log", "level"), "LOUD", "log.level: 'LOUD' is not allowed"),
        (("dag", "tracer", "interval_s"), -1, "dag.tracer.interval_s: -1 is not allowed"),
        (("colour",), "red", "colour: unknown key"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(settings, load, place, value, words):
    section = settings
    for key in place[:-1]:
        section = section[key]
    if place[-1] in ("models", "model"):
        section.pop("model", None)
    section[place[-1]] = value
    with pytest.raises(ConfigError) as caught:
        load(settings)
    text = str(caught.value)
    assert any(word in text for word in words.split("|")), text
    assert "config.yml" in text
    assert "\n" not in text


def test_a_stage_that_nobody_needs_may_be_left_out(settings, load):
    del settings["op"]["Attributes"], settings["op"]["Liveness"]
    settings["op"]["Response"]["inputs"] = ["ArcFace"]
    assert "Attributes" not in load(settings).op


def test_without_detection_there_is_no_pipeline(settings, load):
    settings["op"] = {"Request": {}, "Response": {"inputs": ["Request"]}}
    with pytest.raises(ConfigError, match=r"op\.Detection: missing"):
        load(settings)


@pytest.mark.parametrize("text", ["", "[]", "a: [", "op: 3", "\tx"])
def test_what_is_no_configuration_is_refused_in_one_line(load, text):
    with pytest.raises(ConfigError) as caught:
        load(text)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yml: cannot be read"):
        load_config(tmp_path / "nowhere.yml")


def test_recognisers_are_joined_by_weights_of_their_own_or_by_given_ones(settings, load):
    section = settings["op"]["ArcFace"]
    del section["model"], section["fallback"]
    section["models"] = ["a", "b"]
    assert load(settings).op["ArcFace"].weights == ()
    section.update(weights=[1, 2.5], flip=True)
    op = load(settings).op["ArcFace"]
    assert (op.models, op.weights, op.flip) == (("a", "b"), (1.0, 2.5), True)
    with pytest.raises(ConfigError, match=r"op\.ArcFace\.models: .* each recogniser once"):
        load({**settings, "op": {**settings["op"], "ArcFace": {**section, "models": ["a", "a"]}}})
    section["weights"] = [1, 2, 3]
    with pytest.raises(ConfigError, match=r"op\.ArcFace\.weights: \[1.0, 2.0, 3.0\] is not"):
        load(settings)


def test_a_missing_model_is_named_with_the_command_that_makes_it(settings, load):
    config = load(settings)
    with pytest.raises(ConfigError, match="python -m convert mobilefacenet_128"):
        config.chosen_models("ArcFace")


def test_the_first_fallback_that_is_there_is_chosen(settings, load, tmp_path):
    config = load(settings)
    for name in ("face_resnet_128", "sface"):
        directory = tmp_path / "models" / name
        directory.mkdir(parents=True)
        (directory / "model.yml").touch()
        assert config.chosen_models("ArcFace") == [directory]
    settings["op"]["ArcFace"]["fallback"] = None
    with pytest.raises(ConfigError, match="python -m convert mobilefacenet_128"):
        load(settings).chosen_models("ArcFace")


def with_licences(folder, **licences):
    for name, licence in licences.items():
        directory = folder / "models" / name
        directory.mkdir(parents=True)
        (directory / "model.yml").write_text(f"licence: {licence}\n")


RESEARCH = "X, non-commercial research"


def test_only_models_that_may_be_sold_are_chosen_where_that_is_asked_for(settings, load, tmp_path):
    with_licences(tmp_path, mobilefacenet_128=RESEARCH, sface="Apache-2.0")
    assert [path.name for path in load(settings).chosen_models("ArcFace")] == ["mobilefacenet_128"]
    settings["licence"] = "commercial"
    assert [path.name for path in load(settings).chosen_models("ArcFace")] == ["sface"]
    settings["op"]["ArcFace"]["fallback"] = []
    with pytest.raises(ConfigError, match="mobilefacenet_128 is refused by licence: commercial"):
        load(settings).chosen_models("ArcFace")
    settings["licence"] = "free"
    with pytest.raises(ConfigError, match="licence: 'free' is not allowed"):
        load(settings)


@pytest.mark.parametrize(
    ("manifest", "allowed"),
    [
        ("licence: MIT", True),
        ("{licence: MIT, commercial: false}", False),
        (f"licence: {RESEARCH}", False),
        (f"{{licence: '{RESEARCH}', commercial: true}}", True),
        ("", False),
        ("[", False),
        ("- licence", False),
    ],
)
def test_a_licence_that_is_not_known_allows_no_commercial_use(tmp_path, manifest, allowed):
    (tmp_path / "model.yml").write_text(manifest)
    assert licence_of(tmp_path)[1] == allowed


def test_the_start_says_which_model_is_for_research_and_which_takes_its_place(
    settings, load, tmp_path, capsys
):
    others = [name for op in load(settings).op.values() for name in op.models]
    licences = dict.fromkeys([*others, "sface"], "MIT")
    with_licences(tmp_path, **{**licences, "mobilefacenet_128": RESEARCH})
    say_models(load(settings))
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"for research only: mobilefacenet_128 ({RESEARCH}); with licence:")
    settings["licence"] = "commercial"
    say_models(load(settings))
    (line,) = capsys.readouterr().out.splitlines()
    why = f"mobilefacenet_128 is refused by licence: commercial ({RESEARCH}), sface is used"
    assert line == f"ArcFace: {why}"


def test_a_search_for_small_faces_needs_its_model_and_its_stage(settings, load, tmp_path):
    assert load(settings).small_faces_model() is None
    with_licences(tmp_path, blazeface="MIT", yunet="MIT")
    assert load(settings).small_faces_model().name == "yunet"
    detection = settings["op"]["Detection"]
    detection["smallest_face"] = 40
    assert [path.name for path in load(settings).chosen_models("Detection")] == ["blazeface"]
    detection["small_faces"] = "yolo"
    with pytest.raises(ConfigError, match="smallest_face: 40 needs the model yolo"):
        load(settings).chosen_models("Detection")
    detection["small_faces"] = ""
    with pytest.raises(ConfigError, match="smallest_face: 40 needs small_faces"):
        load(settings)
    detection["smallest_face"] = 0
    settings["op"]["Landmark"]["smallest_face"] = 40
    with pytest.raises(ConfigError, match=r"op\.Landmark: small_faces and smallest_face are"):
        load(settings)


MIG_A = "MIG-5a2b1c3d-0000-4000-8000-00000000000a"
MIG_B = "MIG-5a2b1c3d-0000-4000-8000-00000000000b"
GPU_A = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6"
GPU_B = "GPU-8932f937-d72c-4106-c12f-20bd9faed9f7"
OLD_MIG = f"MIG-{GPU_A}/1/0"


def with_devices(settings, devices, replicas=1):
    settings["replicas"] = replicas
    for stage, op in settings["op"].items():
        if "devices" in op:
            op["devices"] = devices.get(stage, "") if isinstance(devices, dict) else devices
    return settings


@pytest.mark.parametrize("device", [MIG_A, GPU_A, OLD_MIG])
def test_a_gpu_and_a_mig_instance_go_by_their_uuid(settings, load, device):
    config = load(with_devices(settings, device))
    assert config.op["ArcFace"].device(1) == f"gpu:{device}"
    assert config.visible_devices() == device


def test_numbers_and_no_gpu_leave_alone_what_cuda_shows_a_process(settings, load):
    assert load(settings).visible_devices() is None
    assert load(with_devices(settings, "0,2")).visible_devices() is None


def test_a_process_is_shown_the_gpus_of_its_stages_in_the_order_of_their_use(settings, load):
    config = load(with_devices(settings, {"ArcFace": GPU_B, "Detection": f"{GPU_A},{GPU_B}"}))
    assert config.visible_devices() == f"{GPU_B},{GPU_A}"


def test_each_replica_has_a_mig_instance_of_its_own(settings, load):
    config = load(with_devices(settings, f"{MIG_A},{MIG_B}", replicas=2))
    assert [config.visible_devices(replica) for replica in range(2)] == [MIG_A, MIG_B]
    op = config.op["ArcFace"]
    assert op.concurrency > 1
    assert {op.device(thread, 1) for thread in range(op.concurrency)} == {f"gpu:{MIG_B}"}


@pytest.mark.parametrize(
    ("devices", "words"),
    [
        ("MIG-1234", "is not allowed"),
        ("mig-5a2b1c3d-0000-4000-8000-00000000000a", "is not allowed"),
        (f"{MIG_A},", "is not allowed"),
        (f"{MIG_A},0", "beside"),
        ({"Detection": "0", "ArcFace": MIG_A}, "is not allowed beside"),
        ({"Detection": GPU_A, "ArcFace": MIG_A}, "beside"),
        ({"Detection": MIG_A, "ArcFace": MIG_B}, "one MIG instance only"),
    ],
)
def test_devices_that_do_not_go_together_are_refused(settings, load, devices, words):
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        load(with_devices(settings, devices))
    assert ".devices: " in str(caught.value)


def test_a_process_that_only_reads_the_settings_needs_no_sqlalchemy():
    code = (
        "import sys; from settings.config import load_config; c = load_config('config.yml'); "
        "c.library_config().database_file(); print('sqlalchemy' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    "path", ["data/faces.db", "/srv/faces.db", "a/../b.db", "a b.db", "faces.db?timeout=3"]
)
def test_the_databases_file_is_the_one_that_is_opened(tmp_path, path):
    library = LibraryConfig(folder=tmp_path, database=f"sqlite:///{path}")
    assert str(library.database_file()) == library.url().database
