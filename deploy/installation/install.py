"""Installing: from nothing, once more, or another release in the place of the one that runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.installation import host as machine
from deploy.installation import release, source, units
from deploy.installation.calls import Programs
from deploy.installation.errors import InstallError
from deploy.installation.host import Host
from deploy.installation.layout import (
    NAME,
    Layout,
    Wish,
    read_wish,
    write_wish,
)
from deploy.installation.settings_text import first_settings
from deploy.installation.source import Source
from deploy.installation.steps import Step
from deploy.installation.switch import Switch
from deploy.whole_file import write_file

_SECRET_BYTES = 4096


@dataclass(frozen=True)
class Installation:
    """What is to be installed, and where.

    settings: for a first config.yml, by dotted names. secrets: files to copy, by the names that
    they get. say: tells the operator.
    """

    layout: Layout
    host: Host
    wish: Wish
    source: Source
    say: Callable[[str], None]
    settings: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The release's."""
        return self.layout.releases / self.source.name

    def steps(self) -> list[Step]:
        """What makes the machine so, in its order."""
        return [
            *self._user_and_folders(),
            Step(
                f"install release {self.source.name} in {self.folder}",
                self._is_made,
                self._make,
            ),
            *self._settings_and_secrets(),
            Step(
                f"keep the role {self.wish.role} on {self.wish.device} in mind",
                lambda: read_wish(self.layout) == self.wish,
                lambda: write_wish(self.layout, self.wish),
            ),
            Step(f"let release {self.source.name} run", self.is_current, self._switch),
            Step(
                f"write the units of systemd to {self.layout.units}",
                lambda: units.are_installed(self.layout, self._units()),
                lambda: units.install(self.layout, self._units(), self.host),
            ),
            Step("start the service", self._runs, lambda: units.start(self.layout, self.host)),
        ]

    def _user_and_folders(self) -> list[Step]:
        layout, found = self.layout, []
        if not self.host.staged:
            found.append(
                Step(
                    f"make the user {NAME}",
                    lambda: self.host.user() is not None,
                    self.host.make_user,
                )
            )
        folders = [
            (layout.programs, 0o755, "root"),
            (layout.releases, 0o755, "root"),
            (layout.settings, 0o750, "shared"),
            (layout.secrets, 0o750, "shared"),
            (layout.data, 0o700, "user"),
            (layout.logs, 0o750, "user"),
        ]
        return found + [self._folder(path, mode, whose) for path, mode, whose in folders]

    def _folder(self, path: Path, mode: int, whose: str) -> Step:
        return Step(
            f"make the folder {path}",
            lambda: machine.has(path, mode, self.host.owner(whose)),
            lambda: machine.make_folder(path, mode, self.host.owner(whose)),
        )

    def _settings_and_secrets(self) -> list[Step]:
        found = [
            Step(
                f"copy {file} to {self.layout.secrets / name}",
                lambda name=name, file=file: self._has_secret(name, file),  # type: ignore[misc]
                lambda name=name, file=file: self._copy_secret(name, file),  # type: ignore[misc]
            )
            for name, file in self.secrets.items()
        ]
        config = self.layout.config
        return [
            *found,
            Step(f"write the settings to {config}", config.exists, self._write_settings),
        ]

    def _write_settings(self) -> None:
        text = (self.folder / "config.yml").read_text(encoding="utf-8")
        text = first_settings(text, self.layout, self.wish, self.settings)
        write_file(self.layout.config, text, 0o640)
        self._share(self.layout.config)

    def _has_secret(self, name: str, file: Path) -> bool:
        try:
            return (self.layout.secrets / name).read_text(encoding="utf-8") == _secret(file)
        except OSError:
            return False

    def _copy_secret(self, name: str, file: Path) -> None:
        write_file(self.layout.secrets / name, _secret(file), 0o640)
        self._share(self.layout.secrets / name)

    def _share(self, path: Path) -> None:
        owner = self.host.owner("shared")
        if owner is not None:
            os.chown(path, *owner)

    def _is_made(self) -> bool:
        made = release.read_record(self.folder)
        if made is None or made.device != self.wish.device:
            return False
        if self.wish.python not in ("", made.python):
            return False
        return set(made.models) <= set(source.models_of(self.layout))

    def _make(self) -> None:
        if self.is_current():
            raise InstallError(
                f"{self.folder} runs, and is not what it was: models are missing from "
                f"{self.layout.models}, or another device or Python is asked for; end the service "
                f"with `systemctl stop {NAME}`, remove {self.layout.current} and install again"
            )
        source.make(self.source, self.layout, self.wish)
        python = machine.run(
            [str(source.python_of(self.folder)), "-c", _VERSION], capture=True
        ).strip()
        self._try_python()
        heads = Programs(self.folder, self.layout, self.host).heads()
        models = source.models_of(self.layout)
        made = release.Record(
            self.source.name, self.wish.device, python, models, heads.library, heads.keys
        )
        release.write_record(self.folder, made)

    def _try_python(self) -> None:
        try:
            machine.run([str(source.python_of(self.folder)), "-c", ""], user=self.host.user())
        except InstallError:
            raise InstallError(
                f"the user {NAME} cannot run {source.python_of(self.folder)}: it leads to a Python "
                "in a folder that others may not enter; install the system's own"
            ) from None

    def is_current(self) -> bool:
        """Whether it is the one that runs."""
        return self.layout.release_of(self.layout.current) == self.source.name

    def _switch(self) -> None:
        Switch(self.layout, self.host, self.wish, self.say).to(self.source.name)

    def _units(self) -> dict[str, str]:
        folder = self.folder if self.folder.exists() else self.source.project
        return units.texts(folder, self.layout, self.wish)

    def _runs(self) -> bool:
        return not self.host.has_systemd or units.is_running(self.host)


_VERSION = "import sys; print('%d.%d' % sys.version_info[:2])"


def _secret(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(_SECRET_BYTES + 1)
        text = content.decode("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        raise InstallError(f"{file}: it cannot be read as text") from None
    if not text or len(content) > _SECRET_BYTES or "\n" in text:
        raise InstallError(f"{file}: one line that is not empty is expected")
    return text + "\n"


def uninstall(layout: Layout, host: Host, purge: bool) -> list[Step]:
    """The steps that take everything away but the data. purge: the data as well."""
    folders = [layout.programs, layout.settings, layout.logs, *([layout.data] if purge else [])]
    steps = [
        Step(
            "end the service and remove its units",
            lambda: not any((layout.units / unit).exists() for unit in units.ALL),
            lambda: units.remove(layout, host),
        )
    ]
    for folder in folders:
        steps.append(
            Step(
                f"remove {folder}",
                lambda folder=folder: not folder.exists(),  # type: ignore[misc]
                lambda folder=folder: shutil.rmtree(folder),  # type: ignore[misc]
            )
        )
    if not host.staged:
        if not purge:
            # The user's number may be given to somebody else.
            steps.append(
                Step(
                    f"give {layout.data} to root",
                    lambda: not layout.data.exists() or layout.data.stat().st_uid == 0,
                    lambda: machine.give(layout.data, (0, 0)),
                )
            )
        steps.append(Step(f"remove the user {NAME}", lambda: host.user() is None, host.remove_user))
    return steps
