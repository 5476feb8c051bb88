"""What a probe finds, and what it comes to beside a requirement."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

Value = bool | int | float | str | frozenset[str]


class Outcome(enum.Enum):
    """What an item comes to; the value is what tables and JSON say."""

    PASS = "pass"  # noqa: S105 - no password
    FAIL = "fail"
    WARNING = "warning"
    NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Finding:
    """What was found of an item.

    item: its name in ``requirements.toml``. found: in words. value: what is compared with the
    requirement; in its unit. outcome: where the probe knows it without a comparison.
    subject: which one, of an item that there are several of. case: what exactly is the matter,
    for its own advice. facts: what the advice's {names} stand for.
    """

    item: str
    found: str
    value: Value | None = None
    outcome: Outcome | None = None
    subject: str = ""
    case: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


def failed(item: str, found: str, case: str = "", subject: str = "", **facts: object) -> Finding:
    """An item that is not as it has to be."""
    return Finding(item, found, None, Outcome.FAIL, subject, case, facts)


def warned(item: str, found: str, case: str = "", subject: str = "", **facts: object) -> Finding:
    """An item that is not as it should be, or that could not be looked at."""
    return Finding(item, found, None, Outcome.WARNING, subject, case, facts)


def passed(item: str, found: str, subject: str = "") -> Finding:
    """An item that is as it should be."""
    return Finding(item, found, None, Outcome.PASS, subject)


def not_applicable(item: str, why: str, subject: str = "") -> Finding:
    """An item that says nothing on this machine."""
    return Finding(item, why, None, Outcome.NOT_APPLICABLE, subject)


def sized(bytes_: float) -> str:
    """Bytes for people: 3.9 GiB."""
    size = float(bytes_)
    for unit in ("B", "KiB", "MiB"):
        if abs(size) < 1024:
            return f"{size:.0f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB" if size < 1024 else f"{size / 1024:.1f} TiB"


def counted(number: int, one: str, several: str = "") -> str:
    """Such as 1 core, 2 cores."""
    return f"{number} {one if number == 1 else several or one + 's'}"
