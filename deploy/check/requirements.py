"""What the service needs of a server: ``requirements.toml``, and how findings are held to it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Literal

from deploy.check.finding import Finding, Outcome, Value

FILE = Path(__file__).with_name("requirements.toml")

ROLES = ("pipeline", "gateway")
Compare = Literal["at least", "at most", "one of", "all of", "yes", ""]
_COMPARISONS = ("at least", "at most", "one of", "all of", "yes", "")
_KEYS = {
    "name", "compare", "required", "recommended", "unit", "shown", "do", "advice", "cases", "yes",
    "no", "roles", "quiet", "beyond",
}  # fmt: skip


class _Named(dict[str, object]):
    """Facts by name; one that a finding has not is a question mark."""

    def __missing__(self, key: str) -> str:
        return "?"


@dataclass(frozen=True)
class Requirement:
    """One item.

    name: in tables. compare: how a value is held to `required`, without which it fails, and to
    `recommended`, without which there is a warning; "" for an item that only tells. unit: of both.
    shown: the requirement in words, where those made of the values do not say it. do: what to do
    about a failure, advice: about a warning, cases: about a special case of either. yes, no: what
    it means that the machine has it, or has not. roles: of a server, that it is for. quiet: whether
    it is left out where there is nothing to say. beyond: a version from which on nobody has tried
    it.
    """

    item: str
    name: str
    compare: Compare = ""
    required: Any = None
    recommended: Any = None
    unit: str = ""
    shown: str = ""
    do: str = ""
    advice: str = ""
    yes: str = ""
    no: str = ""
    cases: Mapping[str, str] = field(default_factory=dict)
    roles: tuple[str, ...] = ROLES
    quiet: bool = False
    beyond: str = ""

    @property
    def words(self) -> str:
        """The requirement as a table shows it."""
        if self.shown:
            return self.shown
        required, recommended = self._said(self.required), self._said(self.recommended)
        if self.compare == "yes":
            return "yes" if self.required else "better so" if self.recommended else "any"
        joint = f"{self.compare} " if self.compare in ("at least", "at most") else ""
        if required and recommended and required != recommended:
            return f"{joint}{required}, better {recommended}"
        if required:
            return f"{joint}{required}"
        return f"better {joint}{recommended}" if recommended else "any"

    def judge(self, value: Value) -> Outcome:
        """What a value comes to."""
        if not self._fits(value, self.required):
            return Outcome.FAIL
        fits = self._fits(value, self.recommended) and not self._is_beyond(value)
        return Outcome.PASS if fits else Outcome.WARNING

    def outcome(self, finding: Finding) -> Outcome:
        """What a finding comes to."""
        if finding.outcome is not None:
            return finding.outcome
        return Outcome.PASS if finding.value is None else self.judge(finding.value)

    def found(self, finding: Finding) -> str:
        """What was found, and what that means."""
        if isinstance(finding.value, bool) and (meaning := self.yes if finding.value else self.no):
            return f"{finding.found}: {meaning}"
        if missing := self._missing(finding):
            return f"missing: {', '.join(missing)}"
        return finding.found

    def advised(self, finding: Finding, outcome: Outcome) -> str:
        """What to do about a finding; empty where nothing is."""
        if outcome not in (Outcome.FAIL, Outcome.WARNING):
            return ""
        general = self.advice or self.do if outcome is Outcome.WARNING else self.do or self.advice
        is_beyond = finding.value is not None and self._is_beyond(finding.value)
        text = self.cases.get("beyond" if is_beyond else finding.case, general)
        facts = {
            "found": finding.found, "subject": finding.subject,
            "missing": ", ".join(self._missing(finding)), **finding.facts,
        }  # fmt: skip
        return text.format_map(_Named(facts))

    def _missing(self, finding: Finding) -> list[str]:
        """What a set lacks, in the order of the file."""
        there = finding.value
        wanted = self.required if isinstance(there, frozenset) else []
        return [one for one in wanted or [] if isinstance(there, frozenset) and one not in there]

    def _is_beyond(self, value: Value) -> bool:
        return bool(self.beyond) and version(str(value)) >= version(self.beyond)

    def _fits(self, value: Value, wanted: Any) -> bool:
        if wanted is None or not self.compare:
            return True
        if self.compare == "yes":
            return bool(value) or not wanted
        if self.compare == "one of":
            return value in wanted
        if self.compare == "all of":
            return isinstance(value, frozenset) and set(wanted) <= value
        found: Any = value
        if isinstance(wanted, str):
            found, wanted = version(str(value)), version(wanted)
        return bool(found >= wanted if self.compare == "at least" else found <= wanted)

    def _said(self, wanted: Any) -> str:
        if wanted is None:
            return ""
        if isinstance(wanted, list):
            return ", ".join(map(str, wanted))
        number = wanted if isinstance(wanted, str) else f"{wanted:,g}"
        return f"{number} {self.unit}".rstrip()


def version(text: str) -> tuple[int, ...]:
    """The numbers of a version: 535.183.01 as (535, 183, 1); what follows a name is left out."""
    found = re.search(r"\d+(\.\d+)*", text)
    return tuple(int(part) for part in found[0].split(".")) if found else (0,)


@dataclass(frozen=True)
class Requirements:
    """Everything in the file.

    defaults: what the service takes where nothing says otherwise. wide_ports: port to server.
    file_systems: kinds of them, the remote and the passing ones.
    """

    items: Mapping[str, Requirement]
    defaults: Mapping[str, Any]
    wide_ports: Mapping[int, str]
    file_systems: Mapping[str, tuple[str, ...]]


@cache
def load(file: Path = FILE) -> Requirements:
    """Read the file. Raises ValueError for an item that cannot be meant."""
    document = tomllib.loads(file.read_text(encoding="utf-8"))
    defaults = document.pop("defaults")
    wide = {int(port): name for port, name in document.pop("wide_ports").items()}
    kinds = {name: tuple(of) for name, of in document.pop("file_systems").items()}
    items = {}
    for group, members in document.items():
        for name, content in members.items():
            items[f"{group}.{name}"] = _requirement(f"{group}.{name}", content)
    return Requirements(items, defaults, wide, kinds)


def _requirement(item: str, content: dict[str, Any]) -> Requirement:
    if unknown := set(content) - _KEYS:
        raise ValueError(f"{item}: unknown key {sorted(unknown)[0]}")
    if content.get("compare", "") not in _COMPARISONS:
        raise ValueError(f"{item}.compare: {content['compare']!r} is not allowed")
    return Requirement(item=item, **{**content, "roles": tuple(content.get("roles", ROLES))})
