"""The machine: its packages, the service's user, who owns what, and systemd."""

from __future__ import annotations

import ctypes
import grp
import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.installation.errors import InstallError
from deploy.installation.layout import NAME

_SYSTEMD = Path("/run/systemd/system")
# What the service needs of the system, by package managers: (Debian's names, Red Hat's).
_PACKAGES = {
    "the module venv": ("python3-venv", "python3"),
    "OpenMP's library libgomp.so.1": ("libgomp1", "libgomp"),
}


class Host:
    """The machine that is installed on.

    staged: files alone are made, below another root: no user, no owner, nothing is started.
    """

    def __init__(self, staged: bool) -> None:
        self.staged = staged

    @property
    def has_systemd(self) -> bool:
        """Whether systemd runs here and may be told about the service."""
        return not self.staged and _SYSTEMD.is_dir() and shutil.which("systemctl") is not None

    def user(self) -> tuple[int, int] | None:
        """Numbers of the service's user and group; None where there is none, or staged."""
        if self.staged:
            return None
        try:
            return pwd.getpwnam(NAME).pw_uid, grp.getgrnam(NAME).gr_gid
        except KeyError:
            return None

    def make_user(self) -> None:
        """A user without a password, a shell and a home of its own."""
        command = ["useradd", "--system", "--user-group", "--no-create-home"]
        if NAME in (group.gr_name for group in grp.getgrall()):
            command[2:3] = ["--gid", NAME]
        run([*command, "--home-dir", f"/var/lib/{NAME}", "--shell", "/usr/sbin/nologin", NAME])

    def remove_user(self) -> None:
        """And its group."""
        run(["userdel", NAME])
        if NAME in (group.gr_name for group in grp.getgrall()):
            run(["groupdel", NAME])

    def owner(self, whose: str) -> tuple[int, int] | None:
        """Numbers for a folder: of root, of the user, or ``shared``: root's, read by the group."""
        user = self.user()
        if self.staged or user is None:
            return None
        return {"root": (0, 0), "shared": (0, user[1]), "user": user}[whose]


def missing_packages() -> dict[str, tuple[str, str]]:
    """What of the system is missing, by what it is for."""
    missing = dict(_PACKAGES)
    if all(importlib.util.find_spec(name) for name in ("venv", "ensurepip")):
        del missing["the module venv"]
    try:
        ctypes.CDLL("libgomp.so.1")
        del missing["OpenMP's library libgomp.so.1"]
    except OSError:
        pass
    return missing


def install_packages(missing: Mapping[str, tuple[str, str]]) -> None:
    """By apt-get or dnf. Raises InstallError."""
    if shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "update", "-qq"], environment=environment)
        names = [debian for debian, _ in missing.values()]
        run(
            ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *names],
            environment=environment,
        )
    elif shutil.which("dnf"):
        run(["dnf", "install", "-y", *(red_hat for _, red_hat in missing.values())])
    else:
        raise InstallError(f"no apt-get and no dnf to install {', '.join(missing)} with")


def demand_packages(install: bool) -> None:
    """Raise InstallError where something is missing, unless it may be installed."""
    missing = missing_packages()
    if missing and install:
        install_packages(missing)
        missing = missing_packages()
    if missing:
        debian = " ".join(debian for debian, _ in missing.values())
        red_hat = " ".join(red_hat for _, red_hat in missing.values())
        raise InstallError(
            f"{' and '.join(missing)} missing: run apt-get install {debian} or dnf install "
            f"{red_hat}, or give --packages to have it done"
        )


def has(path: Path, mode: int, owner: tuple[int, int] | None) -> bool:
    """Whether a folder is there as it should be."""
    try:
        status = path.stat()
    except OSError:
        return False
    is_owned = owner is None or (status.st_uid, status.st_gid) == owner
    return path.is_dir() and status.st_mode & 0o7777 == mode and is_owned


def make_folder(path: Path, mode: int, owner: tuple[int, int] | None) -> None:
    """Make a folder, or put it right; what is in it goes to its owner where that changes."""
    path.mkdir(parents=True, exist_ok=True)
    status = path.stat()
    path.chmod(mode)
    if owner is not None and (status.st_uid, status.st_gid) != owner:
        give(path, owner)


def give(path: Path, owner: tuple[int, int]) -> None:
    """Change who owns a folder and all in it; links themselves, never what they lead to."""
    os.chown(path, *owner, follow_symlinks=False)
    for parent, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(os.path.join(parent, name), *owner, follow_symlinks=False)


def run(
    command: Sequence[str],
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    user: tuple[int, int] | None = None,
    capture: bool = False,
) -> str:
    """Run a program; what it wrote to standard output, with `capture`.

    user: numbers of user and group that it runs as. Raises InstallError where it fails.
    """
    more: dict[str, object] = {}
    if user is not None and os.geteuid() == 0:
        more = {"user": user[0], "group": user[1], "extra_groups": []}
    try:
        done = subprocess.run(
            list(command), cwd=folder, env=environment, check=False, text=True,
            stdout=subprocess.PIPE if capture else None, **more,  # type: ignore[call-overload]
        )  # fmt: skip
    except OSError as error:
        raise InstallError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        raise InstallError(f"{' '.join(command)} ended with status {done.returncode}")
    return str(done.stdout or "")
