"""A directory with a folder per person: who is in it, and with which pictures."""

from __future__ import annotations

import os
import stat
import unicodedata
from dataclasses import dataclass, field
from pathlib import Path

from client.pictures import SUFFIXES
from client.rest.user_ids import is_user_id, user_id_of
from library.commands.safe_files import kind_of
from library.commands.session import CommandError
from settings.library import LibraryLimits

# So many troubles are told at once.
_SHOWN = 10


@dataclass(frozen=True)
class Skipped:
    """What is not enrolled without being sent. reason: see `library.commands.selection.REASONS`."""

    path: Path
    user: str
    reason: str
    detail: str


@dataclass(frozen=True)
class PersonFolder:
    """A person. name: of the folder, as `shown`. user: the id for it. pictures: sorted."""

    name: str
    user: str
    pictures: tuple[Path, ...]


@dataclass
class FolderScan:
    """What a directory has.

    folders: those with pictures. names: of all folders that are looked into, by the users' ids.
    ignored: files that are no pictures by their names, hidden folders.
    """

    folders: list[PersonFolder] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    left_out: list[Skipped] = field(default_factory=list)
    ignored: list[Path] = field(default_factory=list)

    @property
    def pictures(self) -> int:
        """How many are to be accounted for."""
        return sum(len(folder.pictures) for folder in self.folders) + len(self.left_out)


def shown(path: str) -> str:
    """A path as text that can be stored and shown: without what a terminal would obey."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join("\ufffd" if unicodedata.category(c) == "Cc" else c for c in text)


def _user_of(entry: os.DirEntry[str], by_id: bool) -> str:
    """The id for a folder; by_id: its very name."""
    # Whatever encoding the terminal is set to, the same bytes are the same name.
    name = os.fsencode(entry.name).decode("utf-8", "surrogateescape")
    return name if by_id else user_id_of(name)


def scan_folders(directory: Path, limits: LibraryLimits, by_id: bool = False) -> FolderScan:
    """The folders of a directory in the order of their names, and what is left out of them.

    Links are not followed: they lead to what nobody has put there for this. by_id: the folders
    are named by ids of users. Raises CommandError where there is no folder with pictures, or two
    of them would be one user, or an id is none or too long.
    """
    if not directory.is_dir():
        raise CommandError(f"{directory} is not a directory")
    found = FolderScan()
    for entry in _entries(directory, "", found):
        path, name = Path(entry.path), shown(entry.name)
        if not entry.is_dir(follow_symlinks=False):
            _note(entry, "", found, pictures=None)
        elif name.startswith("."):
            found.ignored.append(path)
        else:
            user = _user_of(entry, by_id)
            pictures = _pictures(path, user, found)
            found.names[user] = name
            if pictures:
                found.folders.append(PersonFolder(name, user, tuple(sorted(pictures))))
    if not found.folders:
        first = [f"; {one.path}: {one.reason}, {one.detail}" for one in found.left_out[:1]]
        raise CommandError(
            f"{directory}: a folder for each person with pictures in it is expected "
            f"({', '.join(sorted(SUFFIXES))}){''.join(first)}"
        )
    troubles = _troubles(found.folders, limits)
    if troubles:
        more = [f"and {len(troubles) - _SHOWN} more"] if len(troubles) > _SHOWN else []
        raise CommandError("; ".join(troubles[:_SHOWN] + more) + ". Rename the folders.")
    return found


def _pictures(folder: Path, user: str, found: FolderScan) -> list[Path]:
    """The pictures in a folder and in the folders in it."""
    pictures: list[Path] = []
    waiting = [folder]
    while waiting:
        for entry in _entries(waiting.pop(), user, found):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            else:
                _note(entry, user, found, pictures)
    return pictures


def _entries(folder: Path, user: str, found: FolderScan) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        found.left_out.append(Skipped(folder, user, "unreadable", str(error.strerror)))
        return []


def _note(
    entry: os.DirEntry[str], user: str, found: FolderScan, pictures: list[Path] | None
) -> None:
    """Put what is no folder where it belongs; pictures: None where no picture may be."""
    path = Path(entry.path)
    is_picture = path.suffix.lower() in SUFFIXES
    try:
        mode = entry.stat(follow_symlinks=False).st_mode
        # A link may lead to a folder with pictures, whatever it is called.
        if stat.S_ISLNK(mode) and (is_picture or entry.is_dir()):
            found.left_out.append(Skipped(path, user, "symlink", "links are not followed"))
        elif not is_picture:
            found.ignored.append(path)
        elif not stat.S_ISREG(mode):
            found.left_out.append(Skipped(path, user, "not_a_file", kind_of(mode)))
        elif pictures is None:
            found.left_out.append(Skipped(path, user, "no_folder", "it is in no folder"))
        else:
            pictures.append(path)
    except OSError as error:
        found.left_out.append(Skipped(path, user, "unreadable", str(error.strerror)))


def _troubles(folders: list[PersonFolder], limits: LibraryLimits) -> list[str]:
    by_user: dict[str, list[str]] = {}
    for folder in folders:
        by_user.setdefault(folder.user, []).append(folder.name)
    none = [
        f"with --by-id folders are named by user ids, which {folder.name} is not"
        for folder in folders
        if not is_user_id(folder.user)
    ]
    same = [
        f"the folders {', '.join(names)} would all be user {user}"
        for user, names in by_user.items()
        if len(names) > 1
    ]
    long = [
        f"user {user} would have more than {limits.user_id_bytes} characters"
        for user in by_user
        if len(user) > limits.user_id_bytes
    ]
    return none or same + long
