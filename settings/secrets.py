"""Secrets of ``config.yml`` from elsewhere: the environment, a file, a credential of systemd.

``${NAME}`` is a variable of the environment, ``${file:/PATH}`` what a file holds, and
``${credential:NAME}`` what systemd puts into $CREDENTIALS_DIRECTORY for a unit that has
LoadCredential=NAME (systemd.exec(5)). Variables are seen by whoever may read the process's
environment; the other two are not.
"""

from __future__ import annotations

import os
import re
import stat
import uuid
from collections.abc import Callable
from pathlib import Path

DIRECTORY = "CREDENTIALS_DIRECTORY"
# Bytes of a secret; the longest that a database takes are far shorter.
MOST_BYTES = 4096
_REFERENCE = re.compile(
    r"\$\{(?:file:(?P<file>[^{}]*)|credential:(?P<credential>[^{}]*)"
    r"|(?P<variable>[A-Za-z_][A-Za-z0-9_]*))\}"
)
# As systemd has them: one file name, which is no path.
_CREDENTIAL = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}")


def filled_in(text: str) -> str:
    """Text with every reference replaced, once; ValueError says what is wrong with one."""
    return _REFERENCE.sub(_value, text)


def filled_in_parts(text: str) -> tuple[str, Callable[[str], str]]:
    """Text with words in the place of its references, and what puts the values in afterwards.

    A URL is taken apart between the two steps, as a password may hold any character. A text that
    is one reference and nothing else is replaced at once. Raises ValueError.
    """
    if _REFERENCE.fullmatch(text):
        return filled_in(text), lambda part: part
    values: dict[str, str] = {}

    def word(match: re.Match[str]) -> str:
        name = f"x{uuid.uuid4().hex}"
        values[name] = _value(match)
        return name

    written = _REFERENCE.sub(word, text)
    words = re.compile("|".join(map(re.escape, values)) or r"(?!)")
    return written, lambda part: words.sub(lambda found: values[found[0]], part)


def _value(match: re.Match[str]) -> str:
    if match["file"] is not None:
        path = Path(match["file"])
        if not path.is_absolute():
            raise ValueError(f"${{file:{path}}}: a path from / is expected")
        return _secret(path, f"${{file:{path}}}")
    if match["credential"] is not None:
        return _credential(match["credential"])
    name = match["variable"]
    if name not in os.environ:
        raise ValueError(f"the environment variable {name} is not set")
    return os.environ[name]


def _credential(name: str) -> str:
    if not _CREDENTIAL.fullmatch(name):
        raise ValueError(f"${{credential:{name}}}: {name!r} is no name of a credential")
    folder = os.environ.get(DIRECTORY)
    if folder is None:
        raise ValueError(
            f"${{credential:{name}}}: ${DIRECTORY} is not set: systemd sets it for a unit with "
            f"LoadCredential={name}; for commands outside of one use ${{file:/PATH}}"
        )
    return _secret(Path(folder) / name, f"${{credential:{name}}}")


def _secret(path: Path, what: str) -> str:
    """What a file holds, without the newline at its end. Raises ValueError, without the secret."""
    try:
        # Not blocking: a pipe would be waited for.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise ValueError(f"{what}: {path} cannot be read: {error.strerror}") from None
    try:
        _check_file(os.fstat(descriptor), path, what)
        content = os.read(descriptor, MOST_BYTES + 2)
    finally:
        os.close(descriptor)
    try:
        text = content.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ValueError(f"{what}: {path} is not text in UTF-8") from None
    if len(text.encode()) > MOST_BYTES:
        raise ValueError(f"{what}: {path} has more than {MOST_BYTES} bytes")
    if not text or any(ord(one) < 32 for one in text):
        raise ValueError(f"{what}: {path} has to hold one line that is not empty")
    return text


def _check_file(status: os.stat_result, path: Path, what: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ValueError(f"{what}: {path} is not a file")
    if status.st_uid not in (0, os.geteuid()):
        raise ValueError(f"{what}: {path} belongs to another user; chown it to root")
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise ValueError(
            f"{what}: {path} is open to others (mode {stat.S_IMODE(status.st_mode):04o}); "
            f"chmod 0640 {path}"
        )
