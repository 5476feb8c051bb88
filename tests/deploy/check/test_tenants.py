"""Of a tenant file the check reads what the server has to have for it."""

from __future__ import annotations

import pytest

from deploy.check.tenants import load_needs
from settings.config import ConfigError


def written(folder, text: str):
    file = folder / "tenants.yml"
    file.write_text(text)
    return file


PORTS = "ports: {pipeline_http: 1024, pipeline_rpc: 1025, gateway: 1026}"


def test_ports_devices_memory_cores_and_folders_are_read(tmp_path):
    file = written(
        tmp_path,
        """
tenants:
  - name: attendance
    device: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f
    ports: {pipeline_http: 20001, pipeline_rpc: 20002, gateway: 20003}
    memory: 4GiB
    data: attendance/data
    log: /var/log/attendance
    quotas: {requests: 100}
  - name: gate
    device: 1
    cores: "2,8-9"
    ports: {pipeline_http: 20011, pipeline_rpc: 20012, gateway: 20013}
    memory: 512MiB
""",
    )
    attendance, gate = load_needs(file, "all")
    assert attendance.devices == ("MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f",)
    assert [place.port for place in attendance.places] == [20001, 20002, 20003]
    assert {place.tenant for place in attendance.places} == {"attendance"}
    assert (attendance.memory, attendance.cores) == (4 << 30, frozenset())
    assert attendance.folders["attendance data"] == tmp_path / "attendance/data"
    assert str(attendance.folders["attendance log"]) == "/var/log/attendance"
    assert (gate.devices, gate.memory, gate.cores) == (("1",), 512 << 20, frozenset({2, 8, 9}))
    assert gate.folders["gate data"] == tmp_path / "tenants/gate/data"


def test_a_role_has_its_ports_only(tmp_path):
    file = written(tmp_path, f"tenants: [{{name: a, memory: 1GiB, {PORTS}}}]")
    assert [one.port for one in load_needs(file, "gateway")[0].places] == [1026]
    assert [one.port for one in load_needs(file, "pipeline")[0].places] == [1024, 1025]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "tenants"),
        ("tenants: [7]", "tenants.0"),
        (f"tenants: [{{name: ../../etc, memory: 1GiB, {PORTS}}}]", "'../../etc'"),
        (f"tenants: [{{name: a, memory: 1GiB, {PORTS}}}, {{name: a, memory: 1GiB, {PORTS}}}]", "a"),
        (f"tenants: [{{name: a, memory: much, {PORTS}}}]", "tenants.a.memory: 'much'"),
        ("tenants: [", "not YAML"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_its_key(tmp_path, text, words):
    file = written(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        load_needs(file, "all")
    assert str(refused.value).startswith(str(file))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_needs(tmp_path / "none.yml", "all")
