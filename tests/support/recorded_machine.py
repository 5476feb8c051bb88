"""Machines that are not here: what they would answer, from a text each.

A text has sections, each begun by a line `== KIND NAME`:

    == like NAME          begins with what another text has
    == file PATH          a file's content
    == run COMMAND        what a program says; with `-> STATUS` behind it, it fails
    == hangs WORDS        a program that gives no answer, or a path that gives none
    == gone WORDS         a file, a program or a command that the other text had
    == links              PATH TARGET, a line each
    == space              PATH TOTAL FREE INODES INODES_FREE, a line each; sizes as 100G
    == values             architecture, kernel, python, clock, sync
    == needs              role, gpu, place, folder, device, replicas: what the machine is to carry
    == tenants            a tenant file
    == says               ITEM[, SUBJECT] | OUTCOME | FOUND: what the check says; of an item in
                          place of what the other text said of it, with `+ ` in front beside that,
                          with `-` for the outcome nothing at all
    == advises            ITEM | a part of what it says is to be done
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploy.check.machine import Answer, Clock, HangsError, Interpreter, Space
from deploy.check.needs import Needs, Place

FOLDER = Path(__file__).resolve().parents[1] / "deploy/check/machines"
ROOT = Path("/srv/face")
_SIZES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


@dataclass
class Recorded:
    """A machine, what it is to carry, and what is to be said of it."""

    name: str
    files: dict[str, str] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    hanging: set[str] = field(default_factory=set)
    links: dict[str, str] = field(default_factory=dict)
    spaces: dict[str, Space] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    needs: list[list[str]] = field(default_factory=list)
    tenants: str = ""
    says: list[tuple[str, str, str, str]] = field(default_factory=list)
    advises: list[tuple[str, str]] = field(default_factory=list)

    # What probes ask.

    def read(self, path: str) -> str | None:
        self._answers(path)
        return self.files.get(path)

    def entries(self, path: str) -> tuple[str, ...]:
        start = path.rstrip("/") + "/"
        names = {
            one.removeprefix(start).partition("/")[0]
            for one in (*self.files, *self.links) if one.startswith(start)
        }  # fmt: skip
        return tuple(sorted(names))

    def link(self, path: str) -> str | None:
        return self.links.get(path)

    def run(self, *command: str) -> Answer:
        self._answers(command[0])
        return self.answers.get(" ".join(command), Answer(None))

    def space(self, path: str) -> Space | None:
        self._answers(path)
        inside = [
            mount for mount in self.spaces
            if path == mount or path.startswith(mount.rstrip("/") + "/")
        ]  # fmt: skip
        return self.spaces[max(inside, key=len)] if inside else None

    def sync_ms(self, folder: str) -> float | None:
        text = self.values["sync"]
        return None if text == "refused" else float(text)

    def clock(self) -> Clock | None:
        said, _, error = self.values["clock"].partition(" ")
        return None if said == "unknown" else Clock(said == "synchronised", float(error or 16))

    def architecture(self) -> str:
        return self.values["architecture"]

    def kernel(self) -> str:
        return self.values["kernel"]

    def interpreter(self) -> Interpreter:
        version, path, whole = self.values["python"].split()
        return Interpreter(version, path, whole == "whole")

    def environment(self, name: str) -> str:
        return self.values.get(name, "")

    def _answers(self, name: str) -> None:
        if any(name == one or name.startswith(f"{one}/") for one in self.hanging):
            raise HangsError(f"{name} gave no answer within 5 s")

    def carries(self) -> Needs:
        """What the machine is to carry, without tenants."""
        said = {words[0]: words[1:] for words in self.needs}
        places = [words[1:] for words in self.needs if words[0] == "place"]
        folders = [words[1:] for words in self.needs if words[0] == "folder"]
        devices = tuple(words[1] for words in self.needs if words[0] == "device")
        replicas = int(said.get("replicas", ["0"])[0])
        gpu = {"yes": True, "no": False, "unknown": None}[said.get("gpu", ["unknown"])[0]]
        return Needs(
            said.get("role", ["all"])[0], ROOT, ROOT / "config.yml",
            tuple(Place(key, host, int(port)) for key, host, port in places),
            {name: Path(path) for name, path in folders}, devices, gpu,
            replicas=replicas,
        )  # fmt: skip


def names() -> list[str]:
    """Of all machines that there are."""
    return sorted(path.stem for path in FOLDER.glob("*.txt"))


def load(name: str) -> Recorded:
    """One of them."""
    machine = Recorded(name)
    own_needs: set[str] = set()
    for heading, content in _sections((FOLDER / f"{name}.txt").read_text(encoding="utf-8")):
        kind, _, rest = heading.partition(" ")
        if kind == "like":
            machine = replace(load(rest), name=name, advises=[])
        else:
            _take(machine, kind, rest, content, own_needs)
    return machine


def _sections(text: str) -> Iterator[tuple[str, str]]:
    heading, lines = "", []
    for line in text.splitlines():
        if line.startswith("== "):
            if heading:
                yield heading, "\n".join(lines).strip("\n")
            heading, lines = line[3:].strip(), []
        elif not line.startswith("# "):
            lines.append(line)
    yield heading, "\n".join(lines).strip("\n")


def _take(machine: Recorded, kind: str, rest: str, content: str, own_needs: set[str]) -> None:
    rows = [line for line in content.splitlines() if line.strip()]
    if kind == "file":
        machine.files[rest] = content.replace("\\0", "\0") + "\n"
    elif kind == "run":
        command, _, status = rest.partition(" -> ")
        output, error = (content, "") if not status else ("", content)
        if "\n--\n" in content:
            output, error = content.split("\n--\n", 1)
        machine.answers[command] = Answer(int(status or 0), output + "\n", error)
    elif kind == "hangs":
        machine.hanging.add(rest)
    elif kind == "gone":
        for known in (machine.files, machine.answers, machine.links):
            for name in [n for n in known if n == rest or n.startswith((f"{rest} ", f"{rest}/"))]:
                del known[name]
    elif kind == "links":
        machine.links.update(row.split(None, 1) for row in rows)
    elif kind == "space":
        for row in rows:
            path, *sizes = row.split()
            machine.spaces[path] = Space(*map(_number, sizes))
    elif kind == "values":
        machine.values.update(row.split(None, 1) for row in rows)
    elif kind == "needs":
        _need(machine, rows, own_needs)
    elif kind == "tenants":
        machine.tenants = content + "\n"
    elif kind == "says":
        _say(machine, rows)
    elif kind == "advises":
        pairs = [row.split(" | ", 1) for row in rows]
        machine.advises = [(item.strip(), words.strip()) for item, words in pairs]
    else:
        raise ValueError(f"{machine.name}: unknown section {kind}")


def _number(text: str) -> int:
    unit = _SIZES.get(text[-1])
    return int(float(text[:-1]) * unit) if unit else int(text)


def _need(machine: Recorded, rows: list[str], own: set[str]) -> None:
    """A text's own lines of a kind take the place of all that the other text had of it."""
    for row in rows:
        words = row.split()
        if words[0] not in own:
            machine.needs = [one for one in machine.needs if one[0] != words[0]]
            own.add(words[0])
        if words[1] != "none":
            machine.needs.append(words)


def _say(machine: Recorded, rows: list[str]) -> None:
    """What a text says of an item takes the place of all that the other text said of it."""
    own, items = [], set()
    for row in rows:
        title, outcome, found = (cell.strip() for cell in row.split(" | ", 2))
        item, _, subject = title.removeprefix("+ ").partition(", ")
        own.append((item, subject, outcome, found))
        if not title.startswith("+ "):
            items.add(item)
    machine.says = [one for one in machine.says if one[0] not in items]
    machine.says += [one for one in own if one[2] != "-"]
