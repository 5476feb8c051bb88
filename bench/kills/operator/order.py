"""A command of an operator, and how it ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Done:
    """A command that has ended. killed: by the bench. status: its exit status."""

    killed: bool
    status: int
    out: str
    errors: str

    @property
    def succeeded(self) -> bool:
        """Whether it said that it has done all."""
        return not self.killed and self.status == 0


@dataclass
class Order:
    """A command to be started. end: judges it. acknowledged: whether a result means that."""

    kind: str
    module: str
    arguments: Sequence[str]
    end: Callable[[Done], Awaitable[None]]
    acknowledged: Callable[[Done], bool] = field(default=lambda done: done.succeeded)
