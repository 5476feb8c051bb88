"""The Ansible role: lint has nothing to say, and a bare Debian is set up by it, once."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from tests.support.deployment.debian_root import make_debian, need_root_and
from tests.support.deployment.stand_in import write_archive
from tests.support.service import ROOT

ANSIBLE = ROOT / "deploy" / "ansible"
ROLE = ANSIBLE / "roles" / "face_serving"
# With what the modules need of the system; the role finds them there.
PACKAGES = ("libgomp1", "python3", "python3-apt", "python3-venv")
# Namespaces of its own take the mounts with them when they end.
MOUNTED = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec "$@"'
INSTALLER = ROOT / "deploy" / "install"


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    """A bare Debian as a node, by Ansible's connection into a folder."""
    need_root_and("ansible-playbook", "debootstrap", "unshare", "chroot")
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    root = tmp_path_factory.mktemp("node") / "root"
    make_debian(root, PACKAGES)
    # In the place of the package, which would bring a hundred others.
    shutil.copy(promtool, root / "usr" / "bin" / "promtool")
    subprocess.run(
        ["chroot", root, "useradd", "--system", "--user-group", "prometheus"], check=True
    )
    (root / "etc" / "prometheus").mkdir()
    return root


class Play:
    """A run of site.yml on the node. changed, failed: tasks. text: all that was printed."""

    def __init__(self, root: Path, folder: Path, *options: str, **variables: object) -> None:
        inventory = folder / "inventory.yml"
        inventory.write_text(yaml.safe_dump(_inventory(root, variables)))
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", MOUNTED, root, "ansible-playbook", "--inventory",
             inventory, *options, ANSIBLE / "site.yml"],
            cwd=ANSIBLE, capture_output=True, text=True, check=False,
            env={**os.environ, "ANSIBLE_CONFIG": str(ANSIBLE / "ansible.cfg"),
                 "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"), "ANSIBLE_NOCOLOR": "1"},
        )  # fmt: skip
        self.text = done.stdout + done.stderr
        counts = re.search(r"ok=(\d+) +changed=(\d+) +unreachable=0 +failed=(\d+)", done.stdout)
        assert counts, self.text
        self.changed, self.failed = int(counts[2]), int(counts[3])
        assert (done.returncode == 0) is (self.failed == 0), self.text


def _inventory(root: Path, variables: dict[str, object]) -> dict[str, object]:
    node = {
        "ansible_host": str(root),
        "ansible_connection": "community.general.chroot",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_become_method": "su",
        "ansible_become_flags": "-s /bin/sh",
        "face_serving_manage_services": False,
        # There already; Prometheus itself is not.
        "face_serving_prometheus_package": "python3",
        **variables,
    }
    return {"all": {"children": {"face_nodes": {"hosts": {"node": node}}}}}


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    file = tmp_path_factory.mktemp("archive") / "face-serving.tar.gz"
    write_archive(file)
    return file


def calls(root: Path) -> list[str]:
    """What the stand-ins were called with since the last look."""
    log = root / "var" / "log" / "calls"
    lines = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def test_lint_finds_nothing_to_say_against_the_playbook():
    if shutil.which("ansible-lint") is None:
        pytest.skip("ansible-lint is not installed")
    done = subprocess.run(
        ["ansible-lint", "--offline", "--nocolor", "--profile", "production", "site.yml"],
        cwd=ANSIBLE, capture_output=True, text=True, check=False,
        # Its own, not that of the tests.
        env={name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_variable_that_the_role_uses_has_a_default():
    defaults = set(yaml.safe_load((ROLE / "defaults" / "main.yml").read_text()))
    tasks = "\n".join(file.read_text() for file in sorted((ROLE / "tasks").glob("*.yml")))
    tasks += (ROLE / "templates" / "prometheus.yml.j2").read_text()
    used = set(re.findall(r"\bface_serving_\w+", tasks)) - set(
        re.findall(r"register: (\w+)", tasks)
    )
    # Of check.yml, which is given them, and what a task puts together.
    used -= {
        name for name in used if name.startswith("face_serving_check_") and name not in defaults
    }
    assert used - {"face_serving_command"} <= defaults
    specified = yaml.safe_load((ROLE / "meta" / "argument_specs.yml").read_text())
    assert set(specified["argument_specs"]["main"]["options"]) <= defaults


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_node_is_set_up_once_and_a_second_run_changes_nothing(debian, archive, tmp_path):
    variables = {
        "face_serving_archive": str(archive),
        "face_serving_listen": "0.0.0.0",
        "face_serving_database": "postgresql://face@database.example/face",
        "face_serving_database_password": "not-to-be-shown",
        "face_serving_monitoring": True,
    }
    first = Play(debian, tmp_path, **variables)
    assert first.failed == 0, first.text
    assert first.changed > 5
    source = "/usr/local/src/face-serving"
    options = (
        "--role all --device cpu --listen 0.0.0.0 --database "
        f"postgresql://face@database.example/face --database-password-file {source}.password"
    )
    assert calls(debian) == [
        f"{source} check --for all",
        f"install {options} --dry-run",
        f"install {options}",
        "/opt/face-serving/current check --for all --config /etc/face-serving/config.yml",
    ]
    password = debian / f"{source[1:]}.password"
    assert (password.read_text(), password.stat().st_mode & 0o777) == ("not-to-be-shown\n", 0o600)
    key = debian / "etc/prometheus/face-keys/default.key"
    assert (key.read_text(), key.stat().st_mode & 0o777) == ("ak_1.not-to-be-shown\n", 0o640)
    assert (debian / "etc/prometheus/face-rules/service.yml").is_file()
    assert "not-to-be-shown" not in first.text

    second = Play(debian, tmp_path, **variables)
    assert (second.changed, second.failed) == (0, 0), second.text
    assert f"install {options}" not in calls(debian)
    # Nothing of a run that only looks is done.
    looked = Play(debian, tmp_path, "--check", **{**variables, "face_serving_listen": "10.0.0.1"})
    assert looked.failed == 0, looked.text
    assert not any(line.startswith("install") and "--dry-run" not in line for line in calls(debian))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_tenants_are_rendered_for_systemd_and_watched(debian, archive, tmp_path):
    tenants = tmp_path / "tenants.yml"
    tenants.write_text("tenants: [{name: access}]\n")
    variables = {
        "face_serving_archive": str(archive),
        "face_serving_tenants": str(tenants),
        "face_serving_monitoring": True,
    }
    first = Play(debian, tmp_path, **variables)
    assert first.failed == 0, first.text
    assert (debian / "etc/systemd/system/face-tenants.target").is_file()
    assert (debian / "etc/systemd/system").stat().st_mode & 0o777 == 0o755
    assert (debian / "etc/tmpfiles.d/face-tenants.conf").is_file()
    watched = yaml.safe_load((debian / "etc/prometheus/prometheus.yml").read_text())
    job = watched["scrape_configs"][0]
    assert job["authorization"]["credentials_file"] == (
        "/etc/prometheus/face-keys/face-gateway-access.key"
    )
    assert job["static_configs"][0]["labels"] == {"job": "face-gateway", "tenant": "access"}
    second = Play(debian, tmp_path, **variables)
    assert (second.changed, second.failed) == (0, 0), second.text
    calls(debian)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_node_that_lacks_something_is_not_installed_unless_that_is_wanted(
    debian, archive, tmp_path
):
    lacking = debian / "etc" / "lacking"
    variables = {"face_serving_archive": str(archive), "face_serving_role": "pipeline"}
    calls(debian)
    lacking.touch()
    try:
        stopped = Play(debian, tmp_path, **variables)
        assert stopped.failed == 1
        assert "NOT READY: /dev/shm" in stopped.text
        assert not any(line.startswith("install") for line in calls(debian))
        wanted = Play(debian, tmp_path, "--check", face_serving_check_enforced=False, **variables)
        assert wanted.failed == 0, wanted.text
        assert "install --role pipeline --device cpu --no-check --dry-run" in calls(debian)
    finally:
        lacking.unlink()


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.timeout(5400)
def test_the_real_installer_sets_a_node_up_once(tmp_path, models):
    if not INSTALLER.is_file():
        pytest.skip("this release has no installer")
    if os.environ.get("CI"):
        pytest.skip("an installation in a bare Debian takes longer than a run of CI may")
    need_root_and("ansible-playbook", "debootstrap", "unshare", "chroot", "git")
    root = tmp_path / "root"
    make_debian(root, PACKAGES)
    # Packages are fetched as this machine does it.
    certificates = Path("/etc/ssl/certs/ca-certificates.crt")
    (root / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
    shutil.copy(certificates, root / "etc/ssl/certs")
    file = tmp_path / "face-serving.tar.gz"
    write_project(file)
    variables = {
        "face_serving_archive": str(file),
        "face_serving_check_enforced": False,
        "face_serving_install_options": ["--no-check"],
    }
    first = Play(root, tmp_path, **variables)
    assert first.failed == 0, first.text
    config = yaml.safe_load((root / "etc/face-serving/config.yml").read_text())
    assert config["name"]
    second = Play(root, tmp_path, **variables)
    assert (second.changed, second.failed) == (0, 0), second.text


def write_project(file: Path) -> None:
    """The project with its models, which the installation takes over."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    with tarfile.open(file, "w:gz", dereference=True) as archive:
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file() and not name.startswith(("tests/", "bench/")):
                archive.add(ROOT / name, name)
        archive.add(ROOT / "models", "models")


def test_the_example_inventory_names_variables_that_there_are():
    example = yaml.safe_load((ANSIBLE / "inventory.example.yml").read_text())
    defaults = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
    variables = example["all"]["children"]["face_nodes"]["vars"]
    assert {name for name in variables if name.startswith("face_")} <= set(defaults)
    assert json.dumps(defaults)
