"""Changed settings taken over while the service goes on: one process after the other is replaced.

With several replicas a new one is started beside each, and the old one ends when the new one
serves: they share the listening socket, so that no connection is lost between them. A single
pipeline, and the gateway, end first; connections wait for the new one in the queue of the socket,
which the parent holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from runtime.child import Child
from runtime.data_lock import data_files
from runtime.programs import GATEWAY
from settings.config import Config, ConfigError

# What a running service cannot change: who has bound a port or taken a lock keeps it.
_FIXED = ("rpc_host", "rpc_port", "http_host", "http_port", "replicas")
_FIXED_OF_GATEWAY = ("host", "port")
# What the gateway reads, beside its own section.
_OF_GATEWAY = ("gateway", "library", "limits", "log", "name", "models_dir")
_STAGES_OF_GATEWAY = ("ArcFace", "Liveness")


@dataclass
class Crew:
    """The processes of a service.

    children: those that are looked after. beside: those that come or go while others are
    replaced. spawn: starts a child's process. end_s: so long one may take to end.
    """

    children: list[Child]
    spawn: Callable[[Child], None]
    end_s: float
    beside: list[Child] = field(default_factory=list)

    @property
    def everybody(self) -> list[Child]:
        """All that may have a process."""
        return [*self.children, *self.beside]


# Gives a sentence each time that it waits; returns what went wrong, or "".
Steps = Generator[str, None, str]


def check_renewal(before: Config, config: Config) -> None:
    """Raise ConfigError for a change that only a service that is started anew can take over."""
    changed = [key for key in _FIXED if getattr(before, key) != getattr(config, key)]
    for key in _FIXED_OF_GATEWAY:
        if getattr(before.gateway, key) != getattr(config.gateway, key):
            changed.append(f"gateway.{key}")
    if before.log.dir != config.log.dir:
        changed.append("log.dir")
    if data_files(before) != data_files(config):
        changed.append("library.database or gateway.token_file")
    if changed:
        raise ConfigError(
            f"{config.path}: {', '.join(changed)}: changed; that needs the service to be ended "
            "and started again"
        )


def renew(crew: Crew, before: Config, config: Config) -> Steps:
    """Replace the pipelines, and the gateway where it has to know of a change.

    To be continued several times a second, while `crew.children` are looked after.
    """
    for place, child in enumerate(list(crew.children)):
        if child.title != GATEWAY:
            together = before.replicas > 1
            problem = yield from (_in_turn if together else _one_after_other)(crew, place)
        elif concerns_gateway(before, config):
            problem = yield from _one_after_other(crew, place)
        else:
            problem = ""
        if problem:
            return problem
    return ""


def concerns_gateway(before: Config, config: Config) -> bool:
    """Whether the gateway reads something that is different now."""
    if any(getattr(before, key) != getattr(config, key) for key in _OF_GATEWAY):
        return True
    return any(before.op.get(name) != config.op.get(name) for name in _STAGES_OF_GATEWAY)


def _in_turn(crew: Crew, place: int) -> Steps:
    """Start a new one; when it serves, the old one ends."""
    old = crew.children[place]
    new = Child(old.program)
    crew.beside.append(new)
    crew.spawn(new)
    while not new.ready:
        yield f"a new {old.title} is being started"
        new.listen()
        status = new.ended()
        if status is not None or new.is_silent:
            new.kill()
            new.wait(0.0)
            crew.beside.remove(new)
            ended = "was not ready in time" if status is None else f"ended with status {status}"
            return f"the new {old.title} {ended}; the old one goes on"
    crew.children[place] = new
    crew.beside.remove(new)
    yield from _ending(crew, old)
    return ""


def _one_after_other(crew: Crew, place: int) -> Steps:
    """End the old one; then start a new one, which is looked after as every other child."""
    old = crew.children[place]
    new = crew.children[place] = Child(old.program)
    yield from _ending(crew, old)
    crew.spawn(new)
    while not new.ready:
        yield f"the {old.title} is being started again"
        if new.next_start is not None:
            return f"the new {old.title} ended before it was ready; it is started again"
    return ""


def _ending(crew: Crew, old: Child) -> Generator[str, None, None]:
    crew.beside.append(old)
    old.end()
    give_up = time.monotonic() + crew.end_s
    while not old.is_gone and time.monotonic() < give_up:
        yield f"the old {old.title} finishes its requests"
    old.kill()
    old.wait(0.0)
    crew.beside.remove(old)
