"""A directory with a folder per person: who is in it, and with which pictures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from client.pictures import SUFFIXES
from library.commands.session import CommandError
from library.config import LibraryLimits

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9_]")
# So many troubles are told at once.
_SHOWN = 10


@dataclass(frozen=True)
class Folder:
    """A person. name: of the folder. user: the id that was made of it. pictures: sorted."""

    name: str
    user: str
    pictures: tuple[Path, ...]


def user_id(name: str) -> str:
    """An id for a folder's name: what ids cannot have becomes an underscore."""
    return _NOT_ALLOWED.sub("_", name)


def folders_in(directory: Path, limits: LibraryLimits) -> list[Folder]:
    """The folders of a directory in the order of their names.

    Raises CommandError where there is none with pictures, or two of them would be one user, or a
    name is too long.
    """
    if not directory.is_dir():
        raise CommandError(f"{directory} is not a directory")
    found = []
    for folder in sorted(path for path in directory.iterdir() if path.is_dir()):
        pictures = tuple(
            sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        )
        if pictures and not folder.name.startswith("."):
            found.append(Folder(folder.name, user_id(folder.name), pictures))
    if not found:
        raise CommandError(
            f"{directory}: a folder for each person with pictures in it is expected "
            f"({', '.join(sorted(SUFFIXES))})"
        )
    troubles = _troubles(found, limits)
    if troubles:
        more = [f"and {len(troubles) - _SHOWN} more"] if len(troubles) > _SHOWN else []
        raise CommandError("; ".join(troubles[:_SHOWN] + more) + ". Rename the folders.")
    return found


def _troubles(folders: list[Folder], limits: LibraryLimits) -> list[str]:
    by_user: dict[str, list[str]] = {}
    for folder in folders:
        by_user.setdefault(folder.user, []).append(folder.name)
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
    return same + long
