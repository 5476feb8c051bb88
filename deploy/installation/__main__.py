"""``deploy/install``: the command line, read before anything is installed."""

from __future__ import annotations

import argparse
import fcntl
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from deploy.installation import install
from deploy.installation.calls import Programs, check_first
from deploy.installation.errors import InstallError
from deploy.installation.host import Host, demand_packages
from deploy.installation.layout import DEVICES, NAME, PREFIX, ROLES, Layout, Wish, read_wish
from deploy.installation.source import source_of
from deploy.installation.steps import Step, take
from deploy.installation.switch import Switch

DONE, FAILED, WRONG_USAGE = 0, 1, 2
_PROJECT = Path(__file__).resolve().parents[2]
_PASSWORD = "database-password"  # noqa: S105 - a file's name
_TOKEN = "milvus-token"  # noqa: S105 - a file's name
_ADDRESS = re.compile(r"[A-Za-z0-9.:_-]{1,200}")
VERSIONS = ("3.11", "3.12", "3.13")
_DATABASE = re.compile(r"[A-Za-z]+://[^\s\"#]{1,500}")


def main(argv: Sequence[str]) -> int:
    """Run the command line; its exit status: 0 done, 1 not, 2 wrong usage."""
    parser = _parser()
    options = parser.parse_args(argv)
    # What is installed is read by others than root, whatever root's own usage is.
    os.umask(0o022)
    # Where useradd is, whatever PATH root has been given.
    path = os.environ.get("PATH", "/usr/bin:/bin")
    if "/usr/sbin" not in path.split(":"):
        os.environ["PATH"] = f"{path}:/usr/sbin:/sbin"
    try:
        _check(parser, options)
        with _alone(options):
            return _run(options)
    except InstallError as error:
        print(f"install: {error}", file=sys.stderr, flush=True)
        return FAILED
    except OSError as error:
        print(f"install: {error.filename}: {error.strerror}", file=sys.stderr, flush=True)
        return FAILED
    except KeyboardInterrupt:
        print("install: interrupted; run it again to go on", file=sys.stderr, flush=True)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deploy/install",
        allow_abbrev=False,
        description="Install the service on this machine; run again, it changes what differs. "
        "With another release there, it is upgraded.",
        epilog="Exit status: 0 done, 1 not or not all, 2 wrong usage, 130 stopped by Ctrl-C.",
    )
    add = parser.add_argument
    add("--dry-run", action="store_true", help="Say what would be done.")
    add("--role", choices=ROLES, help="all; or pipeline and gateway on different machines.")
    add("--device", choices=DEVICES, help="gpu for an NVIDIA GPU.")
    add("--python-version", dest="python", metavar="VERSION", default="",
        choices=("", *VERSIONS), help="3.12, 3.11 or 3.13.")  # fmt: skip
    add("--bundle", type=Path, metavar="FILE", help="Everything from a bundle; no network.")
    add("--packages", action="store_true", help="Install what is missing of the system, too.")
    add("--listen", metavar="ADDRESS", help="Of this machine, for others to reach.")
    add("--pipelines", metavar="HOST:PORT,...", help="Of other machines, for a gateway.")
    add("--database", metavar="URL", help="Without its password: postgresql://USER@HOST/NAME.")
    add("--database-password-file", type=Path, metavar="FILE", help="A line; it is copied.")
    add("--milvus", metavar="URL", help="http://HOST:PORT of a Milvus server, for the index.")
    add("--milvus-token-file", type=Path, metavar="FILE", help="A line; it is copied.")
    add("--no-check", action="store_true", help="Go on whatever deploy check finds.")
    add("--rollback", action="store_true", help="Let the release from before run again.")
    add("--uninstall", action="store_true", help="Remove everything but the data.")
    add("--purge", action="store_true", help="With --uninstall: the data as well.")
    add("--prefix", default=PREFIX, metavar="DIR", help=f"Programs and models; {PREFIX}.")
    add("--root", type=Path, default=Path("/"), metavar="DIR",
        help="Another root, for images: files alone, no user, nothing is started.")  # fmt: skip
    return parser


def _check(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """What the options have to be for each other, and for whoever runs this."""
    if options.purge and not options.uninstall:
        parser.error("--purge goes with --uninstall")
    if options.rollback and (options.uninstall or options.bundle):
        parser.error("--rollback goes with neither --uninstall nor --bundle")
    if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", options.prefix) or ".." in options.prefix:
        parser.error(f"--prefix {options.prefix}: a plain path from / is expected")
    if options.listen and not _ADDRESS.fullmatch(options.listen):
        parser.error("--listen: an address is expected")
    if options.database and not _DATABASE.fullmatch(options.database):
        parser.error("--database: a URL is expected")
    if options.database and re.match(r"\w+://[^/@]*:[^/@]*@", options.database):
        parser.error("--database: the password goes into a file, --database-password-file")
    if options.root == Path("/") and not options.dry_run and os.geteuid() != 0:
        raise InstallError("root is needed: run it with sudo")


class _alone:  # noqa: N801 - used as a function
    """One installation at a time, by a lock on the prefix's parent folder."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._folder = None if options.dry_run else _layout(options).programs.parent

    def __enter__(self) -> None:
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._descriptor)
            raise InstallError("another installation is under way") from None

    def __exit__(self, *_: object) -> None:
        if self._folder is not None:
            os.close(self._descriptor)


def _run(options: argparse.Namespace) -> int:
    layout, host = _layout(options), Host(staged=options.root != Path("/"))
    if options.uninstall:
        return _end(options, install.uninstall(layout, host, options.purge), "is installed here")
    before = read_wish(layout)
    if options.rollback:
        if before is None:
            raise InstallError(f"nothing is installed in {layout.programs}")
        return _roll_back(options, layout, host, before)
    old = before or Wish()
    wish = Wish(
        options.role or old.role, options.device or old.device, options.python or old.python
    )
    source = source_of(_PROJECT, options.bundle)
    source.check(wish)
    if not options.dry_run:
        demand_packages(options.packages)
    settings, secrets = _first_settings(options, wish)
    if before is not None and wish.role != before.role:
        raise InstallError(
            f"this machine has the role {before.role}; uninstall it first, which leaves the data"
        )
    if layout.config.exists() and settings:
        _say(f"{layout.config} is there and stays as it is; change it by hand")
    installation = install.Installation(layout, host, wish, source, _say, settings, secrets)
    _check_before(options, installation)
    status = _end(options, installation.steps(), f"differs: {source.name} is installed")
    return status or _check_again(options, installation)


def _end(options: argparse.Namespace, steps: Sequence[Step], nothing: str) -> int:
    taken = take(steps, options.dry_run, _say)
    if not taken:
        _say(f"nothing {nothing}; nothing was changed")
    elif options.dry_run:
        _say(f"{taken} steps would be taken; nothing was changed")
    return DONE


def _check_before(options: argparse.Namespace, installation: install.Installation) -> None:
    """The machine as it is, where a release is to be installed. Raises InstallError."""
    if options.dry_run or options.no_check or installation.host.staged:
        return
    if not installation.is_current() and not check_first(
        installation.source.project, installation.layout, installation.wish.role
    ):
        raise InstallError("deploy check has found something in the way; mend it, or --no-check")


def _check_again(options: argparse.Namespace, installation: install.Installation) -> int:
    """The machine as it is now, with the service on it."""
    if options.dry_run or options.no_check or not installation.host.has_systemd:
        return DONE
    programs = Programs(installation.folder, installation.layout, installation.host)
    return DONE if programs.check(installation.wish.role) else FAILED


def _roll_back(options: argparse.Namespace, layout: Layout, host: Host, wish: Wish) -> int:
    switch = Switch(layout, host, wish, _say)
    name = layout.release_of(layout.previous)
    if options.dry_run:
        _say(f"would go back to release {name}" if name else "there is no release to go back to")
        return DONE
    _say(f"going back to release {name}")
    switch.back()
    return DONE


def _first_settings(
    options: argparse.Namespace, wish: Wish
) -> tuple[dict[str, str], dict[str, Path]]:
    """Settings for a first config.yml, and the secrets that it names."""
    settings: dict[str, str] = {}
    secrets: dict[str, Path] = {}
    if options.listen:
        settings["rpc_host" if wish.role == "pipeline" else "gateway.host"] = options.listen
    if options.pipelines:
        settings["gateway.pipelines"] = f"[{', '.join(_addresses(options.pipelines))}]"
    elif wish.role == "gateway" and read_wish(_layout(options)) is None:
        raise InstallError("--role gateway needs --pipelines HOST:PORT of other machines")
    if options.database:
        url = options.database
        if options.database_password_file:
            secrets[_PASSWORD] = options.database_password_file
            url = url.replace("@", f":${{file:/etc/{NAME}/secrets/{_PASSWORD}}}@", 1)
        settings["library.database"] = f'"{url}"'
    if options.milvus:
        settings["library.index.kind"] = "milvus"
        settings["library.index.milvus_uri"] = f'"{options.milvus}"'
        if options.milvus_token_file:
            secrets[_TOKEN] = options.milvus_token_file
            settings["library.index.milvus_token"] = f'"${{file:/etc/{NAME}/secrets/{_TOKEN}}}"'
    return settings, secrets


def _addresses(text: str) -> list[str]:
    addresses = text.split(",")
    for address in addresses:
        if not re.fullmatch(r"[A-Za-z0-9._\[\]:-]+:[0-9]{1,5}", address):
            raise InstallError(f"--pipelines: {address!r} is not HOST:PORT")
    return [f'"{address}"' for address in addresses]


def _layout(options: argparse.Namespace) -> Layout:
    return Layout(options.root.resolve(), options.prefix)


def _say(text: str) -> None:
    print(f"install: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
