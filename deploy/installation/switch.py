"""From one release to another, and back: backup, migrations, link, start."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from deploy.installation import release, units
from deploy.installation.calls import Programs, Revisions
from deploy.installation.errors import InstallError
from deploy.installation.host import Host
from deploy.installation.layout import Layout, Wish, replace_link

# Releases that are kept, those that run and ran before among them.
KEPT = 3


class Switch:
    """Lets another release run. Where that fails, the one from before runs again."""

    def __init__(self, layout: Layout, host: Host, wish: Wish, say: Callable[[str], None]) -> None:
        self._layout = layout
        self._host = host
        self._has_data = wish.role != "pipeline"
        self._wish = wish
        self._say = say

    def to(self, name: str) -> None:
        """Switch to a release that is there. Raises InstallError."""
        old = self._layout.release_of(self._layout.current)
        target = self._record(name)
        if self._host.staged:
            self._link(name, old)
            return
        if self._has_data:
            self._say("  trying its settings and its database")
            self._programs(name).try_settings()
        if old is None:
            if self._has_data:
                self._programs(name).migrate(_revisions(target))
            self._link(name, None)
            return
        if self._has_data:
            self._say("  writing a backup")
            self._programs(old).back_up()
        was_running = units.is_running(self._host)
        units.stop(self._host)
        # Whose migrations the database may have: the newer knows the way in both directions.
        knows = self._newer(old, name)
        self._try(old, name, knows, was_running)
        self._prune()

    def back(self) -> str:
        """Switch to the release from before; its name. Raises InstallError where there is none."""
        name = self._layout.release_of(self._layout.previous)
        if name is None or release.read_record(self._layout.releases / name) is None:
            raise InstallError("there is no release to go back to")
        self.to(name)
        return name

    def _try(self, old: str, new: str, knows: str, was_running: bool) -> None:
        before, after = _revisions(self._record(old)), _revisions(self._record(new))
        older = self._layout.release_of(self._layout.previous)
        try:
            if self._has_data and before != after:
                self._say(f"  moving the database from {before.library} to {after.library}")
                self._programs(knows).migrate(after)
            self._link(new, old)
            self._write_units(new)
            if was_running:
                self._say("  starting the service")
                units.start(self._layout, self._host)
        except InstallError as error:
            self._say(f"  that failed; going back to {old}")
            units.stop(self._host)
            if self._has_data and before != after:
                self._programs(knows).migrate(before)
            self._link(old, older)
            self._write_units(old)
            if was_running:
                units.start(self._layout, self._host)
            raise InstallError(f"{error}; release {old} runs as before") from None

    def _newer(self, one: str, other: str) -> str:
        """The one whose migrations are later; they are numbered."""
        return max(
            one, other, key=lambda name: (self._record(name).library, self._record(name).keys)
        )

    def _link(self, current: str, previous: str | None) -> None:
        replace_link(self._layout.current, f"releases/{current}")
        if previous is None:
            self._layout.previous.unlink(missing_ok=True)
        else:
            replace_link(self._layout.previous, f"releases/{previous}")

    def _write_units(self, name: str) -> None:
        texts = units.texts(self._layout.releases / name, self._layout, self._wish)
        units.install(self._layout, texts, self._host)

    def _prune(self) -> None:
        """Remove the oldest releases, never the two that are linked."""
        linked = {
            self._layout.release_of(self._layout.current),
            self._layout.release_of(self._layout.previous),
        }
        folders = sorted(
            (one for one in self._layout.releases.iterdir() if one.is_dir()),
            key=lambda one: one.stat().st_mtime,
            reverse=True,
        )
        others = [one for one in folders if one.name not in linked]
        for folder in others[KEPT - len(linked) :]:
            self._say(f"  removing the old release {folder.name}")
            shutil.rmtree(folder)

    def _record(self, name: str) -> release.Record:
        found = release.read_record(self._layout.releases / name)
        if found is None:
            raise InstallError(f"release {name} is not complete")
        return found

    def _programs(self, name: str) -> Programs:
        return Programs(self._layout.releases / name, self._layout, self._host)


def _revisions(record: release.Record) -> Revisions:
    return Revisions(record.library, record.keys)
