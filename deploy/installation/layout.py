"""Where everything of an installation is."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.installation.errors import InstallError
from deploy.whole_file import write_file

NAME = "face-serving"  # of the units, the folders, the user and its group
PREFIX = f"/opt/{NAME}"
ROLES = ("all", "pipeline", "gateway")
DEVICES = ("cpu", "gpu")
_RECORD = "installation.json"


@dataclass(frozen=True)
class Layout:
    """The folders. root: below which they all are, / but in tests and for images.

    prefix: programs and models, absolute, as the installed service sees it.
    """

    root: Path
    prefix: str

    def place(self, path: str) -> Path:
        """An absolute path of the installed system as it is to be reached from here."""
        return self.root / path.lstrip("/")

    @property
    def programs(self) -> Path:
        """The folder of releases and models."""
        return self.place(self.prefix)

    @property
    def releases(self) -> Path:
        """A folder for each release."""
        return self.programs / "releases"

    @property
    def current(self) -> Path:
        """The link to the release that runs."""
        return self.programs / "current"

    @property
    def previous(self) -> Path:
        """The link to the one before it."""
        return self.programs / "previous"

    @property
    def models(self) -> Path:
        """The converted models, of all releases."""
        return self.programs / "models"

    @property
    def settings(self) -> Path:
        """The folder of config.yml and of secrets."""
        return self.place(f"/etc/{NAME}")

    @property
    def config(self) -> Path:
        """The settings."""
        return self.settings / "config.yml"

    @property
    def secrets(self) -> Path:
        """Files with one secret each."""
        return self.settings / "secrets"

    @property
    def data(self) -> Path:
        """People and their faces, tokens, snapshots, backups."""
        return self.place(f"/var/lib/{NAME}")

    @property
    def logs(self) -> Path:
        """PipelineServingLogs/ is in it."""
        return self.place(f"/var/log/{NAME}")

    @property
    def units(self) -> Path:
        """systemd's, of the administrator."""
        return self.place("/etc/systemd/system")

    def release_of(self, link: Path) -> str | None:
        """The name of the release that a link leads to; None without one."""
        try:
            return Path(os.readlink(link)).name
        except OSError:
            return None


@dataclass(frozen=True)
class Wish:
    """What an installation is to be; kept beside it, so that the next run needs no options.

    role: of `ROLES`. device: of `DEVICES`. python: a version such as 3.11, or "" for any.
    """

    role: str = "all"
    device: str = "cpu"
    python: str = ""


def read_wish(layout: Layout) -> Wish | None:
    """What was wished the last time; None where nothing is installed. Raises InstallError."""
    file = layout.programs / _RECORD
    try:
        return Wish(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise InstallError(f"{file}: {error}") from None


def write_wish(layout: Layout, wish: Wish) -> None:
    """Keep it."""
    write_file(layout.programs / _RECORD, json.dumps(asdict(wish)) + "\n", 0o644)


def replace_link(link: Path, target: str) -> None:
    """Let a link lead elsewhere, in one step."""
    made = link.with_name(f".{link.name}.new")
    made.unlink(missing_ok=True)
    made.symlink_to(target)
    os.replace(made, link)
