"""Control groups: both versions as files, and those of this machine where it has some."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.tenants.processes.cgroups import Group, Limits, make_group
from tests.support.service import wait_until

LIMITS = Limits(memory=64 << 20, cores="0", core_count=1, processes=100)


def files(folder: Path, **contents: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name.replace("__", ".")).write_text(content)


def v2(tmp_path: Path, controllers: str) -> Path:
    """A file of mounts with one hierarchy of version 2, whose group is there with its files."""
    root = tmp_path / "unified"
    for folder in (root, root / "face-tenants"):
        files(folder, cgroup__controllers=controllers, cgroup__subtree_control="")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"cgroup2 {root} cgroup2 rw 0 0\nproc /proc proc rw 0 0\n")
    return mounts


def test_a_group_of_version_2_has_all_limits_and_ends_as_one(tmp_path):
    mounts = v2(tmp_path, "cpuset cpu io memory pids")
    group = make_group("shop", LIMITS, mounts)
    folder = tmp_path / "unified" / "face-tenants" / "shop"
    assert (group.version, group.memory, group.folders) == (2, folder, (folder,))
    assert (folder / "memory.max").read_text() == str(64 << 20)
    assert (folder / "memory.swap.max").read_text() == "0"
    assert (folder / "memory.oom.group").read_text() == "1"
    assert (folder / "cpu.max").read_text() == "100000 100000"
    assert (folder.parent / "cpu.weight").read_text() == "1600"
    assert (folder / "cpuset.cpus").read_text() == "0"
    assert (folder / "pids.max").read_text() == "100"


def test_memory_in_use_is_told_without_what_can_be_dropped_and_kills_are_counted(tmp_path):
    group = make_group("shop", LIMITS, v2(tmp_path, "memory"))
    assert group.memory is not None
    files(group.memory, memory__current="5000\n", memory__stat="anon 1\ninactive_file 2000\n",
          memory__events="low 0\noom 3\noom_kill 2\n")  # fmt: skip
    assert (group.used_bytes(), group.kills()) == (3000, 2)


def test_a_group_of_version_1_has_a_folder_for_each_controller(tmp_path):
    lines = []
    for controller in ("memory", "cpu,cpuacct", "cpuset", "pids"):
        root = tmp_path / controller
        files(root, cpuset__cpus="0-3\n", cpuset__mems="0\n")
        lines.append(f"cgroup {root} cgroup rw,relatime,{controller} 0 0")
    for folder in (tmp_path / "cpuset" / "face-tenants", tmp_path / "cpuset/face-tenants/shop"):
        files(folder, cpuset__cpus="", cpuset__mems="")
    mounts = tmp_path / "mounts"
    mounts.write_text("\n".join(lines) + "\n")
    group = make_group("shop", LIMITS, mounts)
    assert group.version == 1
    assert len(group.folders) == 4
    assert group.memory == tmp_path / "memory" / "face-tenants" / "shop"
    assert (group.memory / "memory.limit_in_bytes").read_text() == str(64 << 20)
    cpuset = tmp_path / "cpuset" / "face-tenants" / "shop"
    assert (cpuset / "cpuset.cpus").read_text() == "0"
    assert (cpuset / "cpuset.mems").read_text().strip() == "0"


@pytest.mark.parametrize("mounts", ["", "proc /proc proc rw 0 0\n", "cgroup2 /gone cgroup2 rw\n"])
def test_without_control_groups_there_is_none_and_nothing_is_refused(tmp_path, mounts):
    file = tmp_path / "mounts"
    file.write_text(mounts)
    group = make_group("shop", LIMITS, file)
    assert group == Group()
    assert (group.used_bytes(), group.kills(), group.in_words()) == (None, 0, "watched")


@pytest.fixture
def real():
    """A group of this machine's own; skips where none counts memory."""
    group = make_group(f"test-{os.getpid()}", LIMITS)
    if group.memory is None:
        group.remove()
        pytest.skip("this user can make no control group that limits memory")
    yield group
    group.kill()
    assert wait_until(lambda: not group.pids(), 10)
    group.remove()


def started_in(group: Group, code: str) -> subprocess.Popen[bytes]:
    joining = "".join(
        f"open({str(folder / 'cgroup.procs')!r}, 'w').write(str(__import__('os').getpid()))\n"
        for folder in group.folders
    )
    return subprocess.Popen([sys.executable, "-c", joining + code])


def test_the_kernel_kills_what_takes_more_than_its_group_may(real):
    process = started_in(real, "held = [bytearray(1 << 20) for _ in range(200)]")
    assert process.wait(60) == -9
    assert wait_until(lambda: real.kills() > 0, 10)


def test_all_processes_of_a_group_are_found_and_killed(real):
    process = started_in(real, "import time; time.sleep(300)")
    assert wait_until(lambda: process.pid in real.pids(), 20)
    real.kill()
    assert process.wait(20) == -9
    with contextlib.suppress(OSError):
        assert not real.pids()
