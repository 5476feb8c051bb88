"""The requirements are data: complete, readable, and held to as they stand there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.check.finding import Finding, Outcome, warned
from deploy.check.requirements import FILE, Requirement, load, version
from deploy.check.run import _PACKAGES
from tests.support.texts import ROOT

ITEMS = load().items
SOURCES = {
    file: file.read_text(encoding="utf-8")
    for file in sorted((ROOT / "deploy" / "check").rglob("*.py"))
}


def test_every_item_of_the_code_is_in_the_file():
    # They name files of the kernel, and fields of nvidia-smi, that look like items.
    sources = {
        file: of for file, of in SOURCES.items() if file.name not in ("cgroups.py", "gpu.py")
    }
    for file, source in sources.items():
        groups = "|".join({item.partition(".")[0] for item in ITEMS})
        for item in re.findall(rf'"((?:{groups})\.[a-z0-9_]+)"', source):
            assert item in ITEMS, (file.name, item)


def test_every_item_of_the_file_is_in_the_code():
    everything = "\n".join(SOURCES.values())
    for item in ITEMS:
        group, _, name = item.partition(".")
        made = re.sub(r"_version$", "", name)
        assert re.search(rf'"{group}\.{name}"|"{name}"|"{made}"', everything), item


def test_every_case_of_the_code_is_in_the_file():
    known = {case for one in ITEMS.values() for case in one.cases}
    said = {case for source in SOURCES.values() for case in re.findall(r'case = "(\w+)"', source)}
    assert said <= known


def test_what_can_fail_says_what_to_do():
    for item, one in ITEMS.items():
        if one.required is not None or one.recommended is not None:
            assert one.do or one.advice, item


@pytest.mark.parametrize(
    ("compare", "required", "recommended", "values"),
    [
        ("at least", 2.0, 4.0, {1.9: "fail", 2.0: "warning", 3.9: "warning", 4.0: "pass"}),
        ("at most", 500.0, 20.0, {600.0: "fail", 21.0: "warning", 20.0: "pass"}),
        ("at least", "450.80.02", "520.61.05",
         {"440.118.02": "fail", "450.80.2": "warning", "520.61.05": "pass", "1000.1": "pass"}),
        ("one of", ["3.11", "3.12"], ["3.11"], {"3.1": "fail", "3.12": "warning", "3.11": "pass"}),
        ("yes", True, None, {False: "fail", True: "pass"}),
        ("yes", None, True, {False: "warning", True: "pass"}),
        ("", None, None, {False: "pass"}),
    ],
)  # fmt: skip
def test_a_value_is_held_to_what_is_required_and_to_what_is_recommended(
    compare, required, recommended, values
):
    one = Requirement("a.b", "b", compare, required, recommended)
    assert {value: one.judge(value).value for value in values} == values


def test_a_set_is_told_by_what_it_lacks():
    one = Requirement("a.b", "b", "all of", ["x", "y", "z"], do="Install {missing}.")
    finding = Finding("a.b", "all there", frozenset({"y", "other"}))
    assert one.outcome(finding) is Outcome.FAIL
    assert one.found(finding) == "missing: x, z"
    assert one.advised(finding, Outcome.FAIL) == "Install x, z."
    whole = Finding("a.b", "all there", frozenset({"x", "y", "z"}))
    assert (one.outcome(whole), one.found(whole)) == (Outcome.PASS, "all there")


def test_what_nobody_has_tried_is_a_warning_with_its_own_advice():
    one = Requirement("a.b", "b", "at least", "6.0", beyond="9.0", do="do", cases={"beyond": "try"})
    finding = Finding("a.b", "9.0", "9.0")
    assert one.outcome(finding) is Outcome.WARNING
    assert one.advised(finding, Outcome.WARNING) == "try"


def test_what_is_advised_has_the_facts_filled_in():
    one = Requirement("a.b", "b", do="End {by}: {found}, {unknown}.", cases={"x": "Case {by}."})
    assert one.advised(warned("a.b", "7", by="java"), Outcome.WARNING) == "End java: 7, ?."
    assert one.advised(warned("a.b", "7", "x", by="java"), Outcome.WARNING) == "Case java."
    assert one.advised(warned("a.b", "7"), Outcome.PASS) == ""


@pytest.mark.parametrize(
    "content", ['[a.b]\nname = "b"\ntypo = 1\n', '[a.b]\nname = "b"\ncompare = "as good as"\n']
)
def test_a_requirement_that_cannot_be_meant_is_refused(tmp_path: Path, content):
    file = tmp_path / "requirements.toml"
    file.write_text("[defaults]\n[file_systems]\n[wide_ports]\n" + content)
    with pytest.raises(ValueError, match=r"a\.b"):
        load(file)


def test_versions_are_compared_by_their_numbers():
    assert version("535.183.01") == (535, 183, 1)
    assert version("glibc 2.28") == (2, 28)
    assert version("5.15.0-118-generic") == (5, 15, 0)
    assert version("none") == (0,)


def test_the_defaults_are_those_of_the_settings():
    import yaml

    settings = yaml.safe_load((ROOT / "config.yml").read_text())
    ports = load().defaults["ports"]
    assert ports == {
        "rpc_port": settings["rpc_port"],
        "http_port": settings["http_port"],
        "gateway.port": settings["gateway"]["port"],
    }
    assert load().defaults["folders"]["models"] == settings["models_dir"]
    assert load().defaults["folders"]["logs"] == settings["log"]["dir"]


def test_the_pythons_are_those_of_the_project():
    project = (ROOT / "pyproject.toml").read_text()
    known = re.findall(r"Python :: (3\.\d+)", project)
    assert ITEMS["system.python"].required == known
    setup = (ROOT / "scripts" / "setup").read_text()
    (gpu,) = re.findall(r'requirements-gpu\.lock versions="([^"]+)"', setup)
    assert sorted(ITEMS["system.python_gpu"].required) == sorted(gpu.split())


def test_the_c_library_is_what_the_packages_are_locked_for():
    lock = (ROOT / "scripts" / "lock").read_text()
    (major, minor) = re.search(r"manylinux_(\d+)_(\d+)", lock).groups()
    assert ITEMS["system.glibc"].required == f"{major}.{minor}"


def test_what_is_imported_is_among_the_locked_packages():
    lock = (ROOT / "requirements.lock").read_text()
    names = {"yaml": "pyyaml"}
    for name in _PACKAGES:
        assert re.search(rf"^{names.get(name, name)}==", lock, re.MULTILINE), name


def test_the_file_is_short_lines_and_no_code():
    assert FILE.suffix == ".toml"
    assert "lambda" not in FILE.read_text()
