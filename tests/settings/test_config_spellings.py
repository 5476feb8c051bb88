"""config.yml as people write it: every setting's documented spelling, and other services' files."""

from __future__ import annotations

import copy
import re

import pytest
import yaml
from pydantic import BaseModel

from settings.config import Config, ConfigError, load_config
from settings.dag import OpConfig
from tests.support.service import ROOT
from tests.support.texts import TEXTS

TEXT = (ROOT / "config.yml").read_text()
CONTENT = yaml.safe_load(TEXT)
# Of all texts that people read.
DOCUMENTS = "\n".join(text.content for text in TEXTS)
# What config.yml's comments and the documents say beside the value that stands there.
SPELLINGS = """
replicas: 4
cores: 1
http_port: 0
rpc_host: 0.0.0.0
reduce_jpegs_to: 0
gateway.host: 0.0.0.0
gateway.host: "::"
gateway.host: ::1
gateway.port: 0
gateway.pipelines: []
gateway.pipelines: [10.0.0.1:18091, pipeline-2:18091]
gateway.access: on
gateway.access: "on"
gateway.access: auto
gateway.rate_limit: 0
gateway.rate_limit: 0.5
gateway.url_images: true
gateway.url_images: on
gateway.audit: no
dag.tracer.interval_s: 0
log.level: DEBUG
log.level: ERROR
op.Detection.devices: ""
op.Detection.devices: "0"
op.Detection.devices: 0
op.Detection.devices: 0,1
op.Detection.model: blazeface
op.Attributes.models: [faceres, emotion]
licence: commercial
op.ArcFace.fallback: face_resnet_128
op.ArcFace.fallback: [sface, face_resnet_128]
library.database: sqlite:///data/faces.db
library.database: postgresql://USER:${PASSWORD}@HOST/NAME
library.database: mysql://USER:${PASSWORD}@HOST/NAME
library.database_timeout_s: 10
library.store_crops: true
library.store_crops: yes
library.keep_removals_days: 0.5
library.index.kind: approximate
library.index.kind: milvus
library.index.storage: float32
library.index.storage: fp16
library.index.storage: sq8
library.index.snapshot_dir: ""
library.index.milvus_uri: http://HOST:19530
library.index.milvus_uri: data/milvus.db
library.index.milvus_token: USER:${PASSWORD}
library.index.milvus_token: 0123
""".strip().splitlines()


STOCK = """
worker_num: 10
build_dag_each_worker: False
http_port: 9998
rpc_port: 18091
dag:
    is_thread_op: False
    retry: 10
    use_profile: True
    tracer:
        interval_s: 10
op:
    ArcFace:
        concurrency: 8
        local_service_conf:
            client_type: local_predictor
            model_config: ./MobileFaceNet_128_serving
            fetch_list: ["save_infer_model/scale_0.tmp_1"]
            devices: ""
            ir_optim: True
"""


def in_backticks(text: str) -> list[str]:
    """`section.name: value` of the documents, each once."""
    found = re.findall(
        r"`((?:licence|(?:gateway|library|op|limits|dag|log)\.[\w.]+): [^`]+)`", text
    )
    return sorted(set(found))


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Load the repository's settings with one of them written so."""
    monkeypatch.setenv("PASSWORD", "secret")

    def load_line(line: str):
        key, spelled = line.split(": ", 1)
        content = section = copy.deepcopy(CONTENT)
        *sections, name = key.split(".")
        for part in sections:
            section = section[part]
        section[name] = "@here@"
        path = tmp_path / "config.yml"
        path.write_text(yaml.safe_dump(content).replace("'@here@'", spelled))
        found = load_config(path)
        for part in [*sections, "models" if name == "model" else name]:
            found = found[part] if isinstance(found, dict) else getattr(found, part)
        return found

    return load_line


@pytest.mark.parametrize("line", [*SPELLINGS, *in_backticks(DOCUMENTS)])
def test_a_documented_spelling_is_taken_as_it_is_meant(load, line):
    found, spelled = load(line), line.split(": ", 1)[1]
    if isinstance(found, str):
        said = spelled.strip('"')
        assert found in (said, said.replace("${PASSWORD}", "secret"))
    elif isinstance(found, tuple):
        meant = yaml.safe_load(spelled)
        assert list(found) == (meant if isinstance(meant, list) else [meant])
    else:
        assert found == yaml.safe_load(spelled)
        assert isinstance(found, bool) == (spelled in ("on", "yes", "no", "true", "false"))


def test_the_readme_names_settings():
    assert "gateway.access: on" in in_backticks(DOCUMENTS)
    assert "`licence: commercial`" in (ROOT / "README.md").read_text()


def names(model: type[BaseModel]) -> set[str]:
    """Dotted names of all settings of a section."""
    found = set()
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= {f"{name}.{one}" for one in names(inner)}
        else:
            found.add(name)
    return found


def test_every_setting_stands_in_the_file_with_its_default():
    content = dict(CONTENT)
    in_code = names(Config) - {"path", "op", "library.folder"}
    stages = content.pop("op").values()
    used = {"models" if name == "model" else name for stage in stages for name in stage}
    assert used == set(OpConfig.model_fields)
    flat = {}
    todo = list(content.items())
    while todo:
        name, value = todo.pop()
        if isinstance(value, dict):
            todo += [(f"{name}.{inner}", part) for inner, part in value.items()]
        else:
            flat[name] = value
    assert set(flat) == in_code


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("gateway.access: off", "gateway.access: 'off' is not allowed"),
        ("gateway.audit: 3", "gateway.audit: 3 is not allowed"),
        ("log.level: ~", "log.level: None is not allowed"),
        ("rpc_port: '18091'", "rpc_port: '18091' is not allowed"),
    ],
)
def test_what_is_not_allowed_is_named_as_it_was_written(load, line, said):
    with pytest.raises(ConfigError, match=said):
        load(line)


def refusal(tmp_path, text: str) -> str:
    path = tmp_path / "config.yml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return str(caught.value)


def test_a_stock_configuration_is_explained_in_one_message(tmp_path):
    said = refusal(tmp_path, STOCK)
    assert "stock Paddle Serving configuration" in said.splitlines()[0]
    for key, instead in {
        "worker_num": "limits.queue_length",
        "build_dag_each_worker": "replicas",
        "dag.is_thread_op": "nothing",
        "dag.retry": "nothing",
        "dag.use_profile": "dag.tracer.interval_s",
        "op.ArcFace.local_service_conf.client_type": "nothing",
        "op.ArcFace.local_service_conf.model_config": "op.ArcFace.model",
        "op.ArcFace.local_service_conf.fetch_list": "op.ArcFace.model",
        "op.ArcFace.local_service_conf.devices": "op.ArcFace.devices",
        "op.ArcFace.local_service_conf.ir_optim": "nothing",
    }.items():
        assert f"\n  {key} -> {instead}" in said
    assert "missing: op.Request, op.Detection, op.Response" in said
    # What both have needs no word.
    for key in ("rpc_port ->", "http_port ->", "concurrency ->", "interval_s ->"):
        assert key not in said


def test_keys_of_another_examples_ops_are_explained_too(tmp_path):
    op = "{server_endpoints: ['127.0.0.1:9292'], client_config: x, timeout: 3000, retry: 1}"
    said = refusal(tmp_path, f"rpc_port: 18091\nop: {{rec: {op}}}\n")
    assert "op.rec.timeout -> limits.request_timeout_ms" in said
    assert "op.rec -> no such stage; they are Request, Detection" in said


def test_a_file_of_this_service_with_one_foreign_key_is_told_which(tmp_path):
    said = refusal(tmp_path, TEXT + "worker_num: 4\n")
    assert said.splitlines()[0].endswith("1 of its keys are stock Paddle Serving's:")
    assert said.splitlines()[1:] == [
        "  worker_num -> limits.queue_length, how many requests are in a replica at once"
    ]


def test_a_file_whose_parts_hold_each_other_is_refused(tmp_path):
    assert "alias" in refusal(tmp_path, "worker_num: 1\nop: &op {ArcFace: *op}\n")
