"""The tenant file: what it takes, and that a refusal names key, value and what is allowed."""

from __future__ import annotations

import re

import pytest

from deploy.tenants.tenant import Ports, Quotas, Tenant
from deploy.tenants.tenant_file import Proxy, TenantFile, load_tenants
from settings.config import ConfigError
from tests.support.tenants import ROOT, entry, write_tenants

MIG = "MIG-5a2b1c3d-0000-4000-8000-00000000000a"


def two(**second):
    return [
        entry("attendance", cores="0"),
        {**entry("front-desk", (9201, 9202, 9203), cores="1"), **second},
    ]


def test_what_is_left_out_is_below_the_files_folder_by_the_tenants_name(tmp_path):
    first, second = load_tenants(write_tenants(tmp_path, two())).tenants
    assert first.data == tmp_path / "tenants" / "attendance" / "data"
    assert first.log == tmp_path / "tenants" / "attendance" / "log"
    assert second.keys == tmp_path / "tenants" / "front-desk" / "admin.key"
    assert first.memory_bytes == 2 << 30


def test_paths_start_at_the_files_folder_and_may_be_absolute(tmp_path):
    path = write_tenants(tmp_path, two(data="here", log="/var/log/desk"), run="running")
    file = load_tenants(path)
    assert file.tenants[1].data == tmp_path / "here"
    assert str(file.tenants[1].log) == "/var/log/desk"
    assert file.run == tmp_path / "running"


def test_cores_are_ranges_and_single_ones(tmp_path):
    file = load_tenants(write_tenants(tmp_path, two(cores="2-4,7")))
    assert file.tenants[1].core_numbers == [2, 3, 4, 7]
    assert load_tenants(write_tenants(tmp_path, two(cores=3))).tenants[1].core_numbers == [3]


@pytest.mark.parametrize("device", ["0", 0, MIG, f"GPU-{MIG[4:]}"])
def test_a_device_is_a_number_or_a_uuid(tmp_path, device):
    file = load_tenants(write_tenants(tmp_path, two(device=device)))
    assert file.tenants[1].device == str(device)


@pytest.mark.parametrize(
    ("second", "words"),
    [
        ({"name": "Front"}, "tenants.1.name: 'Front' is not allowed"),
        ({"name": "../x"}, "tenants.1.name: '../x' is not allowed"),
        ({"name": "front--desk"}, "is not allowed"),
        ({"name": "a" * 33}, "is not allowed"),
        ({"name": "attendance"}, "tenants.attendance.name: 'attendance' is not allowed"),
        ({"memory": "4G"}, "tenants.front-desk.memory: '4G' is not allowed: Value error, a size"),
        ({"memory": "100MiB"}, "at least 256MiB"),
        ({"memory": 4}, "tenants.front-desk.memory: 4 is not allowed"),
        ({"device": "gpu"}, "tenants.front-desk.device: 'gpu' is not allowed"),
        ({"device": "0,1"}, "tenants.front-desk.device: '0,1' is not allowed"),
        ({"cores": "3-1"}, "'3-1' is no range of cores"),
        ({"cores": "0"}, "tenants.front-desk.cores: '0' is not allowed: attendance has it; it can"),
        ({"colour": "red"}, "tenants.front-desk.colour: unknown key"),
        ({"ports": {"gateway": 1}}, "tenants.front-desk.ports.pipeline_http: missing"),
        ({"ports": entry("x")["ports"]}, "tenants.front-desk.ports.pipeline_http: '9101' is not"),
        ({"database": "oracle://x/y"}, "tenants.front-desk.database: 'oracle://x/y' is not"),
        ({"database": "sqlite:///faces.db"}, "sqlite:////FOLDER/FILE"),
        ({"data": "tenants/attendance/data"}, "tenants.front-desk.data: "),
        ({"data": "tenants/attendance/data/x"}, "attendance has it"),
        ({"backups": "tenants/attendance/data/backups"}, "tenants.front-desk.backups: "),
        ({"backups": "tenants/attendance/log/x"}, "attendance has it"),
        ({"log": "a b"}, "tenants.front-desk.log: "),
        ({"data": "x;rm"}, "a path of letters"),
        ({"quotas": {"requests": 0}}, "tenants.front-desk.quotas.requests: 0 is not allowed"),
        ({"models": {"ArcFace": 3}}, "tenants.front-desk.models.ArcFace: 3 is not allowed"),
    ],
)
def test_a_wrong_value_is_refused_with_its_key(tmp_path, second, words):
    path = write_tenants(tmp_path, two(**second))
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        load_tenants(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_two_tenants_share_a_device_or_cores_only_where_both_say_so(tmp_path):
    for key, value in (("device", MIG), ("cores", "0-1")):
        entries = [{**one, key: value} for one in two()]
        with pytest.raises(ConfigError, match=f"shared_{key}: true at both"):
            load_tenants(write_tenants(tmp_path, entries))
        if key == "device":
            entries = [{**one, f"shared_{key}": True} for one in entries]
            assert load_tenants(write_tenants(tmp_path, entries))
    shared = [{**one, "cores": "0-1", "shared_cores": True} for one in two()]
    assert load_tenants(write_tenants(tmp_path, shared))


def test_a_password_in_a_database_url_is_refused_and_not_shown(tmp_path):
    url = "postgresql://faces:hunter2@db.example.org/faces"
    with pytest.raises(ConfigError, match=r"front-desk\.database: not allowed") as caught:
        load_tenants(write_tenants(tmp_path, two(database=url)))
    assert "hunter2" not in str(caught.value)
    good = url.replace("hunter2", "${FACES_PASSWORD}")
    assert load_tenants(write_tenants(tmp_path, two(database=good))).tenants[1].database == good


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "a mapping with the list"),
        ("tenants: []", "tenants"),
        ("tenants: 3", "tenants: 3 is not allowed"),
        ("tenants: [3]", "tenants.0"),
        ("{", "not YAML"),
        ("tenants: [{}]", "tenants.0.name: missing"),
    ],
)
def test_a_file_of_another_form_is_refused(tmp_path, content, words):
    path = tmp_path / "tenants.yml"
    path.write_text(content)
    with pytest.raises(ConfigError, match=re.escape(words)):
        load_tenants(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_tenants(tmp_path / "none.yml")


def test_a_tenant_that_is_not_there_is_named_with_those_that_are(tmp_path):
    with pytest.raises(ConfigError, match="no tenant 'access'; there are attendance, front-desk"):
        load_tenants(write_tenants(tmp_path, two())).tenant("access")


def test_the_example_is_good_and_the_document_names_every_key():
    file = load_tenants(ROOT / "deploy" / "tenants" / "example.yml")
    assert [one.name for one in file.tenants] == ["attendance", "access", "visitors"]
    for name in ("docs/tenants.md", "docs/zh/tenants.md"):
        text = (ROOT / name).read_text()
        named = set(re.findall(r"`([a-z_]+)`", text))
        assert set(Tenant.model_fields) <= named
        assert set(TenantFile.model_fields) - {"path", "tenants"} <= named
        assert {*Proxy.model_fields, *Ports.model_fields, *Quotas.model_fields} <= named
