"""What the check says of this machine is what the tools say that know it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.check.machine import ThisMachine
from deploy.check.needs import Needs
from deploy.check.probes import containers, disk, gpu, memory, processor, system
from deploy.check.probes.sockets import listeners
from deploy.check.requirements import load

MACHINE = ThisMachine(patience_s=60)
KINDS = load().file_systems
# Kept by others meanwhile, on a machine where much is going on.
GIB = 1 << 30


def said(*command: str) -> str:
    """What a tool says; skips where it is missing."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    # nproc would listen to the first two.
    left_out = ("OMP_NUM_THREADS", "OMP_THREAD_LIMIT")
    variables = {name: value for name, value in os.environ.items() if name not in left_out}
    variables["LC_ALL"] = "C"
    return subprocess.run(command, capture_output=True, text=True, check=True, env=variables).stdout


def found(findings, item: str):
    (one,) = (finding for finding in findings if finding.item == item)
    return one


def lscpu(name: str) -> str:
    match = re.search(rf"^{name}:\s*(.*)$", said("lscpu"), re.MULTILINE)
    return match[1].strip() if match else "unknown"


def test_the_architecture_is_unames():
    one = found(processor.probe(MACHINE), "processor.architecture")
    assert one.value == said("uname", "-m").strip()


def test_the_processor_is_lscpus():
    assert found(processor.probe(MACHINE), "processor.model").found == lscpu("Model name")


def test_the_usable_cores_are_nprocs():
    one = found(processor.probe(MACHINE), "processor.cores")
    count = int(said("nproc"))
    # nproc looks at no quota of a control group's time.
    assert one.found.startswith(f"{count} core")
    assert one.value <= count


def test_cores_that_are_taken_away_are_not_counted():
    core = min(os.sched_getaffinity(0))
    code = (
        "from deploy.check.machine import ThisMachine\n"
        "from deploy.check.probes.processor import usable\n"
        "print(sorted(usable(ThisMachine())))"
    )
    line = said("taskset", "-c", str(core), sys.executable, "-c", code)
    assert json.loads(line) == [core]


@pytest.mark.parametrize(
    ("item", "flag"),
    [("avx", "avx"), ("avx2", "avx2"), ("avx512", "avx512f"), ("vnni", "avx512_vnni"),
     ("bf16", "avx512_bf16"), ("amx", "amx_tile")],
)  # fmt: skip
def test_the_instruction_sets_are_lscpus(item, flag):
    one = found(processor.probe(MACHINE), f"processor.{item}")
    assert one.value == (flag in lscpu("Flags").split())


def free(row: str) -> list[int]:
    return [int(word) for word in re.search(rf"^{row}:(.*)$", said("free", "-b"), re.M)[1].split()]


def test_the_memory_is_frees():
    total, *_, before = free("Mem")
    findings = list(memory.probe(MACHINE))
    after = free("Mem")[-1]
    assert memory._meminfo(MACHINE)["MemTotal"] == total
    assert found(findings, "memory.total").value <= total / GIB
    available = found(findings, "memory.available").value * GIB
    assert min(before, after) - 2 * GIB < available < max(before, after) + 2 * GIB


def test_the_swap_is_frees():
    one = found(memory.probe(MACHINE), "memory.swap")
    total = free("Swap")[0]
    assert (one.found == "none") == (total == 0)


def df(path: Path, *columns: str) -> list[str]:
    return said("df", "-B1", f"--output={','.join(columns)}", str(path)).splitlines()[1].split()


def test_shared_memory_is_dfs():
    one = found(memory.probe(MACHINE), "memory.shared")
    assert one.value * (1 << 20) == int(df(Path("/dev/shm"), "size")[0])


def test_the_disks_are_dfs(tmp_path):
    new = tmp_path / "not" / "there yet"
    size, before, inodes = df(tmp_path, "size", "avail", "itotal")
    findings = list(disk.folder(MACHINE, "data", new, True, KINDS))
    (after,) = df(tmp_path, "avail")
    space = found(findings, "disk.space")
    assert f"in {tmp_path}" in space.found
    assert MACHINE.space(str(tmp_path)).total == int(size)
    assert int(inodes) == MACHINE.space(str(tmp_path)).inodes
    low, high = sorted((int(before), int(after)))
    assert low / GIB - 2 < space.value < high / GIB + 2
    assert found(findings, "disk.sync").value > 0


@pytest.mark.parametrize("path", ["/", "/dev/shm", "/proc", "/usr/bin"])
def test_the_file_system_is_dfs(path):
    mount, kind = disk.mounted(MACHINE, Path(path))
    fstype, *target = df(Path(path), "fstype", "target")
    assert (kind, mount) == (fstype if fstype != "-" else kind, " ".join(target))


def of_system(item: str):
    return found(system.probe(MACHINE, Needs()), f"system.{item}")


def test_the_kernel_is_unames():
    assert of_system("kernel").value == said("uname", "-r")[:-1]


def test_the_c_library_is_ldds():
    first = said("ldd", "--version").splitlines()[0]
    assert of_system("glibc").value == first.split()[-1]


def test_the_distribution_is_that_of_its_own_file():
    text = said("sh", "-c", '. /etc/os-release; printf %s "$PRETTY_NAME"')
    assert of_system("distribution").found == text


def test_openmp_is_there_where_the_loader_finds_it():
    code = "import ctypes; ctypes.CDLL('libgomp.so.1')"
    loads = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert of_system("openmp").value == (loads.returncode == 0)


def test_the_python_is_what_it_says_itself():
    version = said(sys.executable, "--version").split()[1]
    assert of_system("python").found.startswith(version)
    assert of_system("python").value == ".".join(version.split(".")[:2])


def test_the_venv_is_whole_where_one_can_be_made(tmp_path):
    made = subprocess.run([sys.executable, "-c", "import ensurepip"], check=False)
    assert of_system("venv").value == (made.returncode == 0)


@pytest.mark.parametrize(("item", "option"), [("open_files", "-Hn"), ("processes", "-Su")])
def test_the_limits_are_the_shells(item, option):
    text = said("bash", "-c", f"ulimit {option}").strip()
    expected = float("inf") if text == "unlimited" else float(text)
    assert of_system(item).value == expected


def test_the_clock_is_as_the_kernel_tells_perl():
    # 159 is adjtimex on x86-64; the status is at 40, and 0x40 in it says that nobody synchronises.
    code = (
        'my $timex = "\\0" x 208; syscall(159, $timex) >= 0 or die; '
        'print unpack("x40 i", $timex) & 0x40 ? "free" : "synchronised"'
    )
    told = said("perl", "-e", code)
    clock = MACHINE.clock()
    assert clock is not None
    assert ("synchronised" if clock.is_synchronised else "free") == told
    assert of_system("clock").value == clock.is_synchronised


def test_systemd_is_named_where_it_runs_the_machine():
    one = of_system("systemd")
    if Path("/run/systemd/system").is_dir() and os.listdir("/run/systemd/system"):
        assert one.value == int(said("systemctl", "--version").split()[1])
    else:
        assert one.value is None


@pytest.fixture
def servers():
    """Listening sockets of this process: of one address, of all, and of IPv6 where there is any."""
    opened = [socket.create_server((host, 0)) for host in ("127.0.0.1", "0.0.0.0")]
    with contextlib.suppress(OSError):
        opened.append(socket.create_server(("::1", 0), family=socket.AF_INET6))
    yield opened
    for one in opened:
        one.close()


def test_who_listens_where_is_what_ss_says(servers):
    told = listeners(MACHINE)
    lines = said("ss", "-H", "-l", "-t", "-n", "-p").splitlines()
    for server in servers:
        host, port = server.getsockname()[:2]
        (one,) = (listener for listener in told if listener.port == port)
        assert one.host == host
        assert os.getpid() in [holder.pid for holder in one.holders]
        (line,) = (line for line in lines if line.split()[3].rpartition(":")[2] == str(port))
        assert line.split()[3].rpartition(":")[0].strip("[]") == one.host
        assert f"pid={os.getpid()}," in line
        name = re.search(r'users:\(\("([^"]+)"', line)[1]
        assert one.holders[0].name == name


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_the_container_runtimes_are_those_that_are_installed(name):
    one = found(containers.probe(MACHINE, False), f"containers.{name}")
    assert (one.found == "not installed") == (shutil.which(name) is None)
    if name == "podman" and one.value is not None:
        assert one.value == said("podman", "--version").split()[-1]
    if name == "docker" and shutil.which("docker"):
        version = re.search(r"version ([^,\s]+)", said("docker", "--version"))[1]
        assert version in one.found


def test_a_gpu_is_named_where_nvidia_smi_names_one():
    one = found(gpu.probe(MACHINE, Needs()), "gpu.card")
    cards = shutil.which("nvidia-smi") and subprocess.run(
        ["nvidia-smi", "-L"], capture_output=True, text=True, check=False
    ).stdout.count("GPU ")
    if cards:
        assert one.outcome.value == "pass"
    elif not Path("/proc/driver/nvidia/version").exists():
        assert one.found.startswith("none") or shutil.which("nvidia-smi") is None


def test_the_limits_of_control_groups_are_the_kernels(tmp_path):
    """Where this process may make a group of its own, its limits are told."""
    root = Path("/sys/fs/cgroup/memory")
    if os.geteuid() != 0 or not (root / "memory.limit_in_bytes").exists():
        pytest.skip("no control groups of version 1, or no root")
    group = root / f"check-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    try:
        (group / "memory.limit_in_bytes").write_text(str(1 << 30))
        code = (
            "from deploy.check.machine import ThisMachine\n"
            "from deploy.check.probes.memory import usable\n"
            "print(usable(ThisMachine()))"
        )
        script = f'echo $$ > {group}/cgroup.procs && exec "$0" -c "$1"'
        line = said("sh", "-c", script, sys.executable, code)
        assert int(line) == 1 << 30
    finally:
        group.rmdir()
