"""The set-up: locks, the search for a Python, .venv made and made again; what git holds."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = sorted(ROOT.glob("requirements*.lock"))
REGISTRIES = [
    (b"pypi", b"org"),
    (b"pythonhosted", b"org"),
    (b"registry", b"npmjs", b"org"),
    (b"registry", b"yarnpkg", b"com"),
    (b"proxy", b"golang", b"org"),
]
PIN = re.compile(r"^([a-z0-9._-]+)==([^\n\\]+)", re.MULTILINE)
VERSIONS = ("3.13", "3.12", "3.11")
# All that a marker may say: a lock is for one platform, and for the three Pythons.
MARKER = r"( ; python_full_version (<|>=|==) '3\.1[23](\.\*)?')?"


def pins(name: str) -> dict[str, set[str]]:
    """By the names of packages: their versions, several where Pythons have different ones."""
    found: dict[str, set[str]] = {}
    for package, version in PIN.findall((ROOT / name).read_text()):
        found.setdefault(package, set()).add(version.split()[0])
    return found


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout, or no git")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


# Locks


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_address(lock):
    lines = lock.read_text().splitlines()
    assert [line for line in lines if "://" in line or re.search(r"--(extra-)?index", line)] == []
    assert [line for line in lines if "--find-links" in line or " @ " in line] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_of_a_lock_has_an_exact_version_and_a_hash(lock):
    joined = lock.read_text().replace("\\\n", " ")
    packages = [line for line in joined.splitlines() if line and not line.lstrip().startswith("#")]
    assert packages
    for package in packages:
        pattern = r"\S+==\S+" + MARKER + r"(\s+--hash=sha256:[0-9a-f]{64})+\s*"
        assert re.fullmatch(pattern, package), package[:80]


@pytest.mark.parametrize("other", ["requirements-gpu.lock", "requirements-build.lock"])
def test_locks_agree_in_the_versions_of_what_they_share(other):
    runtime, also = pins("requirements.lock"), pins(other)
    shared = runtime.keys() & also.keys()
    assert shared
    assert {name: also[name] for name in shared} == {name: runtime[name] for name in shared}


def test_the_dev_lock_only_adds_to_the_runtime_locks():
    development = pins("requirements-dev.lock")
    assert development.keys() & pins("requirements.lock").keys() == set()
    assert development.keys() & pins("requirements-gpu.lock").keys() == set()


def test_the_gpu_lock_differs_in_the_packages_for_the_gpu_only():
    cpu, gpu = pins("requirements.lock"), pins("requirements-gpu.lock")
    only_cpu, only_gpu = cpu.keys() - gpu.keys(), gpu.keys() - cpu.keys()
    # And what the one Paddle or the other asks for.
    engines = {"paddlepaddle", "openvino"}
    assert only_cpu - {"safetensors"} == engines | {"paddle-serving-server"}
    assert only_gpu - {"astor", "decorator"} == {"paddlepaddle-gpu", "paddle-serving-server-gpu"}


# The search for a Python


@pytest.fixture
def home(tmp_path) -> Path:
    """A home folder with nothing in it."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of what the set-up consists of."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "scripts", folder / "scripts")
    shutil.copy(ROOT / "Makefile", folder)
    for lock in LOCKS:
        shutil.copy(lock, folder)
    return folder


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def python(path: Path, version: str = "3.12") -> Path:
    """What answers scripts/find-python as a Python of that version at `path` does."""
    return program(path, f'for asked; do :; done; [ "$asked" = {version} ] && echo {path}')


def run(checkout: Path, *command: str, home: Path, path: Path, **more: str):
    environment = {"HOME": str(home), "PATH": f"{path}:/usr/bin:/bin", **more}
    return subprocess.run(
        command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=60
    )


def hide_pythons(folder: Path) -> None:
    """Pythons of this machine, replaced on PATH by ones that are no use."""
    for name in ("python", "python3", *(f"python{version}" for version in VERSIONS)):
        program(folder / name, "exit 1")


def without_system(checkout: Path) -> None:
    """The system's own Pythons are not looked for in this checkout."""
    script = checkout / "scripts" / "find-python"
    text = script.read_text()
    assert "/usr/local/bin/" in text
    script.write_text(
        text.replace("/usr/local/bin/", "/nowhere/").replace("/usr/bin/", "/nowhere/")
    )


@pytest.fixture
def find(checkout, home, tmp_path):
    """Runs scripts/find-python where nothing is found but what the test has made."""
    hide_pythons(tmp_path / "bin")
    without_system(checkout)

    def find(*versions: str, **environment: str) -> str:
        command = ["scripts/find-python", *versions]
        found = run(checkout, *command, home=home, path=tmp_path / "bin", **environment)
        assert (found.returncode == 0) == bool(found.stdout), found
        return found.stdout.strip()

    return find


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ["python{}", "python3", "python"])
def test_a_python_on_path_is_found(find, tmp_path, name, version):
    expected = python(tmp_path / "bin" / name.format(version), version)
    assert find() == str(expected)


def test_the_fastest_is_taken_wherever_it_is(find, home, tmp_path):
    python(tmp_path / "bin" / "python3", "3.13")
    fastest = python(home / ".pyenv" / "versions" / "3.12.2" / "bin" / "python3.12", "3.12")
    assert find() == str(fastest)
    assert find("3.13") == str(tmp_path / "bin" / "python3")


@pytest.mark.parametrize("version", ["3.9", "3.10", "3.14"])
def test_another_version_is_no_use_unless_asked_for(find, tmp_path, version):
    other = python(tmp_path / "bin" / "python3", version)
    assert find() == ""
    assert find("3.12", version) == str(other)


def test_a_python_of_pyenv_is_found_behind_shims_that_refuse(find, home):
    expected = python(home / ".pyenv" / "versions" / "3.12.18" / "bin" / "python3.12")
    assert find() == str(expected)


def test_pyenv_is_looked_for_in_pyenv_root(find, tmp_path):
    expected = python(tmp_path / "root" / "versions" / "3.12.2" / "bin" / "python3.12")
    assert find(PYENV_ROOT=str(tmp_path / "root")) == str(expected)


def test_a_python_that_uv_fetched_is_found(find, checkout):
    name = "cpython-3.12.25-linux-x86_64-gnu"
    python(checkout / ".cache" / "python" / name / "bin" / "python3.12")
    assert name in find()


def test_without_any_python_the_set_up_says_what_to_do(checkout, home, tmp_path):
    hide_pythons(tmp_path / "bin")
    without_system(checkout)
    failed = run(checkout, "scripts/setup", home=home, path=tmp_path / "bin")
    assert failed.returncode != 0
    assert "Install one" in failed.stderr
    assert not (checkout / ".venv").exists()


# .venv, with a stub for a Python that notes what it is asked for


@pytest.fixture
def stub(checkout, home, tmp_path):
    """scripts/setup with a Python whose environments install nothing; returns how to run it."""
    hide_pythons(tmp_path / "bin")
    without_system(checkout)
    stub = tmp_path / "bin" / "python3.12"
    log = tmp_path / "log"
    log.touch()
    program(
        stub,
        f"""case "$*" in
    *_base_executable*) case "$*" in *" 3.12") echo {stub} ;; *) exit 1 ;; esac ;;
    "-m venv .venv") echo venv >>{log}; mkdir -p .venv/bin; cp {stub} .venv/bin/python ;;
    *"-m pip install"*) for lock; do :; done; echo "pip $lock" >>{log}; [ ! -e {log}.fail ] ;;
    *"-m convert"*) echo convert >>{log}; echo "asked for: $*" ;;
esac""",
    )

    def setup(*options: str, **environment: str) -> tuple[int, list[str], str]:
        log.write_text("")
        done = run(
            checkout, "scripts/setup", *options, home=home, path=tmp_path / "bin", **environment
        )
        return done.returncode, log.read_text().splitlines(), done.stdout + done.stderr

    setup.fail = Path(f"{log}.fail")
    return setup


ALL = ["venv", "pip requirements-build.lock", "pip requirements.lock", "convert"]


def test_what_is_done_is_not_done_again(stub):
    assert stub()[:2] == (0, ALL)
    assert stub()[:2] == (0, ["convert"])


def test_a_half_made_environment_is_made_again(stub, checkout):
    stub.fail.touch()
    status, steps, _ = stub()
    assert (status != 0, "convert" in steps) == (True, False)
    (checkout / ".venv" / "left-behind").touch()
    stub.fail.unlink()
    assert stub()[:2] == (0, ALL)
    assert not (checkout / ".venv" / "left-behind").exists()


def test_an_environment_whose_python_is_gone_is_made_again(stub, checkout):
    stub()
    (checkout / ".venv" / "bin" / "python").unlink()
    assert stub()[:2] == (0, ALL)


def test_a_changed_lock_makes_a_new_environment(stub, checkout):
    stub()
    with (checkout / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert stub()[:2] == (0, ALL)


def test_the_tools_are_added_once_and_only_when_asked_for(stub):
    stub()
    assert stub("--dev", "--no-models")[1] == ["pip requirements-dev.lock"]
    assert stub("--dev", "--no-models")[1] == []


def test_the_device_is_kept_until_another_is_asked_for(stub):
    assert "pip requirements-gpu.lock" in stub(DEVICE="gpu")[1]
    assert stub()[1] == ["convert"]
    assert stub(DEVICE="cpu")[1] == ALL


def test_a_version_of_python_can_be_asked_for(stub):
    assert stub()[1] == ALL
    assert stub(PYTHON_VERSION="3.12")[1] == ["convert"]
    status, steps, output = stub(PYTHON_VERSION="3.10")
    assert (status != 0, steps) == (True, [])
    assert "PYTHON_VERSION=3.10: one of 3.12 3.11 3.13" in output


def test_a_gpu_needs_a_python_that_paddle_has_a_gpu_build_for(stub):
    status, steps, output = stub(DEVICE="gpu", PYTHON_VERSION="3.13")
    assert (status != 0, steps) == (True, [])
    assert "one of 3.12 3.11 for DEVICE=gpu" in output


def test_a_set_of_models_that_may_be_sold_can_be_asked_for(stub):
    assert stub()[2].rstrip().endswith("asked for: -m convert --default")
    assert "convert --default --licence commercial" in stub(LICENCE="commercial")[2]
    status, steps, output = stub(LICENCE="free")
    assert (status != 0, steps) == (True, [])
    assert "LICENCE=free: any or commercial" in output


def test_an_unknown_device_is_refused(stub):
    status, steps, output = stub(DEVICE="tpu")
    assert (status != 0, steps) == (True, [])
    assert "cpu or gpu" in output


# The workflow, and what git holds


TARGETS = "help setup run test test-fast lint format bench lock audit clean"


@pytest.mark.parametrize("target", TARGETS.split())
def test_make_knows_the_target(target):
    dry = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True)
    assert dry.returncode == 0, dry.stderr


def test_no_tracked_file_is_larger_than_a_mebibyte():
    assert [file for file in tracked() if file.stat().st_size > 2**20] == []


def test_no_python_file_is_longer_than_400_lines():
    sources = [file for file in tracked() if file.suffix == ".py"]
    assert [file for file in sources if len(file.read_bytes().splitlines()) > 400] == []


def test_no_weights_or_arrays_are_tracked():
    arrays = {".pdmodel", ".pdiparams", ".onnx", ".pth", ".npz", ".npy", ".pkl", ".bin"}
    assert [file for file in tracked() if file.suffix in arrays] == []


def test_no_path_of_one_machine_is_tracked():
    personal = re.compile(rb"(/home|/Users)/\w+/|/root/\.")
    assert [file for file in tracked() if personal.search(file.read_bytes())] == []


def test_no_host_of_a_package_registry_is_tracked():
    # Put together here, so that this file does not name them either.
    hosts = [b".".join(parts) for parts in REGISTRIES]
    assert [
        (file.name, host) for file in tracked() for host in hosts if host in file.read_bytes()
    ] == []


def test_no_python_version_file_misleads_pyenv():
    assert not any(file.name == ".python-version" for file in tracked())
