"""The commands of a text, typed line by line into one shell, in a clone of their own."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.texts import ROOT, SHELL, Text

_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What a text says of a command that is not to end with 0.
_STATUS = re.compile(r"\s#.*\bexit status (\d+)")
_MARK = "-- typed:"
_SET_UP = "make setup"


@dataclass(frozen=True)
class Typed:
    """A command that was typed, its exit status, and what it has said."""

    line: str
    status: int
    said: str


@dataclass(frozen=True)
class Chapter:
    """A heading below that of the walk, and the lines of each of its blocks for the shell."""

    heading: str
    blocks: Sequence[Sequence[str]]


def chapters(text: Text, heading: str) -> list[Chapter]:
    """Those of the section with this heading; the first has the section's own."""
    start = text.content.index(f"## {heading}\n")
    section = text.content[start:].removeprefix("## ")
    section = re.split(r"^## ", section, maxsplit=1, flags=re.MULTILINE)[0]
    found = []
    for part in re.split(r"^### ", section, flags=re.MULTILINE):
        title, _, content = part.partition("\n")
        blocks = [lines.splitlines() for language, lines in _BLOCK.findall(content)
                  if language in SHELL]  # fmt: skip
        found.append(Chapter(title, blocks))
    return found


def fresh_clone(folder: Path) -> Path:
    """What a clone of this tree as it is now has, with this environment and these models."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("not a git checkout, or no git")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # Nothing has to be compiled anew: the sources have kept their times.
    for compiled in ROOT.glob("[a-z]*/**/__pycache__"):
        place = folder / compiled.relative_to(ROOT)
        if place.parent.is_dir() and compiled.relative_to(ROOT).parts[0] != "tests":
            shutil.copytree(compiled, place, dirs_exist_ok=True)
    (folder / ".venv").symlink_to(sys.prefix)
    (folder / "models").symlink_to(ROOT / "models")
    return folder


class Walk:
    """A shell in a clone. typed: what was typed so far. left_out: blocks for want of a program.

    variables: of the text's own, that say for instance which ports are free. needs: programs that
    not every machine has; a block that names one is left out where it is missing.
    """

    def __init__(self, clone: Path, variables: Mapping[str, str], needs: Sequence[str]) -> None:
        self.typed: list[Typed] = []
        self.left_out: list[str] = []
        self._missing = [program for program in needs if shutil.which(program) is None]
        self._is_set_up = _is_as_locked(Path(sys.prefix))
        environment = {**os.environ, **variables, "COLUMNS": "160"}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        reading, writing = os.pipe()
        # Not from its standard input, which the commands have as well.
        self._process = subprocess.Popen(
            ["sh", f"/dev/fd/{reading}"], cwd=clone, env=environment, pass_fds=(reading,),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, start_new_session=True,
        )  # fmt: skip
        os.close(reading)
        self._keyboard = os.fdopen(writing, "w", encoding="utf-8")

    def follow(self, chapter: Chapter) -> None:
        """Type a chapter's commands; each has to end with 0, or as the text says."""
        for block in chapter.blocks:
            missing = [one for one in self._missing if re.search(rf"\b{one}\b", "\n".join(block))]
            if missing:
                self.left_out.append(f"{chapter.heading}: {', '.join(missing)} is not installed")
                continue
            for line in _commands(block):
                # It would install into this environment, where that is another than the lock's.
                if line == _SET_UP and not self._is_set_up:
                    continue
                self._type(line)

    def _type(self, line: str) -> None:
        stated = _STATUS.search(line)
        self._keyboard.write(f"{line}\nprintf '\\n{_MARK} %d\\n' $?\n")
        self._keyboard.flush()
        said: list[str] = []
        assert self._process.stdout is not None
        for told in self._process.stdout:
            if told.startswith(_MARK):
                done = Typed(line, int(told.removeprefix(_MARK)), "".join(said)[:-1])
                self.typed.append(done)
                assert done.status == int(stated[1] if stated else 0), done
                return
            said.append(told)
        raise AssertionError(f"the shell has ended: {line}\n{''.join(said)}")

    def close(self) -> None:
        """End the shell, and what it has started in the background."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._keyboard.close()
        if self._process.stdout is not None:
            self._process.stdout.close()


def _commands(block: Sequence[str]) -> Iterator[str]:
    """Lines that a backslash joins are one."""
    joined = ""
    for line in block:
        joined += line
        if not line.endswith("\\"):
            if joined.strip():
                yield joined
            joined = ""
        else:
            joined += "\n"
    assert not joined, joined


def _is_as_locked(environment: Path) -> bool:
    """Whether `make setup` finds nothing to install in it."""
    with contextlib.suppress(OSError):
        device = (environment / ".device").read_text().strip()
        lock = ROOT / ("requirements-gpu.lock" if device == "gpu" else "requirements.lock")
        return (environment / ".lock").read_bytes() == lock.read_bytes()
    return False
