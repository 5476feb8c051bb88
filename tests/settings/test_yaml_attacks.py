"""Files of settings that are made to break what reads them: refused in one line, and soon."""

from __future__ import annotations

import itertools
import subprocess
import sys

import pytest
import yaml

from convert.catalog import load_catalog
from convert.errors import ConvertError
from inference.manifest import Manifest, ManifestError
from settings import yaml_file
from settings.config import ConfigError, load_config
from settings.yaml_file import MOST_BYTES, MOST_DEPTH, MOST_VALUES, YamlError, parse_yaml
from tests.conftest import ROOT

pytestmark = pytest.mark.attack

NAMES = "abcdefghi"
LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]\n"
    for before, name in itertools.pairwise(NAMES)
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{name}: &{name} {{<<: [{', '.join([f'*{before}'] * 9)}]}}\n"
    for before, name in itertools.pairwise(NAMES)
)
CHAIN = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 3000))
ATTACKS = {
    "lists": "[" * 100_000,
    "mappings": "a: " + "{a: " * 40_000,
    "dashes": "\n".join(" " * depth + "-" for depth in range(500)),
    "keys": "\n".join(" " * depth + "a:" for depth in range(500)),
    "closed": "[" * 5000 + "]" * 5000,
    "laughs": LAUGHS,
    "merged": MERGED,
    "chain": CHAIN,
    "circle": "a: &a {b: {c: [*a]}}",
    "own": "&a [*a]",
    "twice": "rpc_port: 1\nop: {}\nrpc_port: 2",
    "twice below": "op: {A: {inputs: []}, A: {inputs: []}}",
    "many": "[" + "1," * 120_000 + "]",
    "anchors": "".join(f"a{number}: &a{number} 1\n" for number in range(16_000)),
    "large": "a" * (MOST_BYTES + 1),
    "day": "a: 2024-13-45",
    "digits": "a: " + "9" * 100_000,
    "sixties": "a: " + "1:" * 50_000 + "1",
    "tag": "!!python/object/apply:os.system [id]",
    "number": 'a: !!int ""',
    "boolean": "a: !!bool x",
    "float": "a: !!float x",
    "key": "? [a]\n: b",
    "nothing": "a: \0",
    "documents": "a: 1\n---\nb: 2",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_no_sound_yaml_is_refused_in_one_line(name):
    with pytest.raises(YamlError) as caught:
        parse_yaml(ATTACKS[name])
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["lists", "dashes", "laughs", "circle", "twice", "day", "tag"])
def test_pyyaml_without_its_c_parser_is_no_weaker(name, monkeypatch):
    monkeypatch.setattr(yaml_file, "_Loader", yaml.SafeLoader)
    with pytest.raises(YamlError):
        parse_yaml(ATTACKS[name])


@pytest.mark.parametrize("name", ["lists", "laughs", "merged", "twice", "day", "large"])
def test_every_file_that_is_read_is_read_so(name, tmp_path):
    file = tmp_path / "model.yml"
    file.write_text(ATTACKS[name])
    for read, kind in (
        (load_config, ConfigError),
        (lambda _: Manifest.load(tmp_path), ManifestError),
        (load_catalog, ConvertError),
    ):
        with pytest.raises(kind) as caught:
            read(file)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["lists", "laughs"])
def test_the_service_says_it_in_one_line_and_does_not_start(name, tmp_path):
    file = tmp_path / "config.yml"
    file.write_text(ATTACKS[name])
    done = subprocess.run(
        [sys.executable, str(ROOT / "web_service.py"), "--config", str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert str(file) in line


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(YamlError):
        parse_yaml(b"a: \xff\xfe")


def test_a_value_that_is_a_whole_section_is_not_told_whole(tmp_path):
    file = tmp_path / "config.yml"
    file.write_text(f"name: [{', '.join(['x' * 100] * 1000)}]\nop: {{}}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert len(str(caught.value)) < 1000


def test_what_is_within_the_limits_means_what_it_means_to_yaml():
    deep = "[" * MOST_DEPTH + "]" * MOST_DEPTH
    wide = "- 1\n" * (MOST_VALUES - 10)
    shared = "a: &a {n: 1}\nb: {<<: *a, n: 2}\nc: *a\n"
    files = [(ROOT / name).read_text() for name in ("config.yml", "convert/catalog.yml")]
    assert parse_yaml(wide) == [1] * (MOST_VALUES - 10)
    for text in (deep, shared, "", *files):
        assert parse_yaml(text) == yaml.safe_load(text)
