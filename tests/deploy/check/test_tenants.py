"""Of a tenant file the check reads what the server has to have for it, and refuses the rest."""

from __future__ import annotations

import pytest

from deploy.check.tenants import TenantFileError, load_needs


def written(folder, text: str):
    file = folder / "tenants.yml"
    file.write_text(text)
    return file


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
  - {name: access, device: 1, ports: {gateway: 20013}, memory: 536870912}
  - {name: visitors, device: "0-1,4"}
  - {name: gate, device: GPU-0b7f7d0e, cores: "2,8-9", shared_device: true}
""",
    )
    attendance, access, visitors, gate = load_needs(file, "all")
    assert attendance.devices == ("MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f",)
    assert [place.port for place in attendance.places] == [20001, 20002, 20003]
    assert {place.tenant for place in attendance.places} == {"attendance"}
    assert attendance.memory == 4 << 30
    assert attendance.folders["attendance data"] == tmp_path / "attendance/data"
    assert str(attendance.folders["attendance log"]) == "/var/log/attendance"
    assert (access.devices, access.memory, access.cores) == (("1",), 536870912, frozenset())
    assert (visitors.devices, visitors.cores) == ((), frozenset({0, 1, 4}))
    assert (gate.devices, gate.cores) == (("GPU-0b7f7d0e",), frozenset({2, 8, 9}))
    assert (gate.shares_device, gate.shares_cores) == (True, False)


def test_a_role_has_its_ports_only(tmp_path):
    text = "tenants: [{name: a, ports: {pipeline_http: 1024, pipeline_rpc: 1025, gateway: 1026}}]"
    file = written(tmp_path, text)
    assert [one.port for one in load_needs(file, "gateway")[0].places] == [1026]
    assert [one.port for one in load_needs(file, "pipeline")[0].places] == [1024, 1025]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "tenants: a list"),
        ("tenants: []", "tenants: a list"),
        ("tenants: 7", "tenants: a list"),
        ("tenants: [7]", "tenants[0]: a mapping"),
        ("tenants: [{}]", "tenants[0].name: None"),
        ("tenants: [{name: ../../etc}]", "tenants[0].name: '../../etc'"),
        ("tenants: [{name: a}, {name: a}]", "name: a stands there twice"),
        ("tenants: [{name: a, device: quantum}]", "a.device: 'quantum'"),
        ("tenants: [{name: a, device: 0-99999999}]", "a.device"),
        ("tenants: [{name: a, cores: all}]", "a.cores: 'all'"),
        ("tenants: [{name: a, memory: much}]", "a.memory: 'much'"),
        ("tenants: [{name: a, memory: -4GiB}]", "a.memory"),
        ("tenants: [{name: a, ports: {gateway: 70000}}]", "a.ports.gateway: 70000"),
        ("tenants: [{name: a, ports: {gateway: yes}}]", "a.ports.gateway: True"),
        ("tenants: [{name: a, ports: [1]}]", "a.ports: a mapping"),
        ("tenants: [{name: a, data: 7}]", "a.data: a folder"),
        ("tenants: [", "not YAML"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_its_key(tmp_path, text, words):
    file = written(tmp_path, text)
    with pytest.raises(TenantFileError) as refused:
        load_needs(file, "all")
    assert str(refused.value).startswith(str(file))
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(TenantFileError, match="cannot be read"):
        load_needs(tmp_path / "none.yml", "all")
