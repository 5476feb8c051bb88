"""What is known of the gateway's keys, and whether revoked ones are answered."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from bench.kills.clients.asking import BUSY, INVALID_TOKEN, Answer
from bench.kills.truth import Finding
from gateway.auth.key_cache import FRESH_S, PAUSE_S, STALE_S, WAIT_KNOWN_S

# Keys of an app that clients choose from.
LEAST_LIVE = 2
# Lookups that tell that the database was well.
_ENOUGH_LOOKUPS = 3


@dataclass(frozen=True)
class LiveKey:
    """A key whose making was acknowledged."""

    id: str
    secret: str
    app: str

    @property
    def credential(self) -> str:
        """What a request carries."""
        return f"{self.id}.{self.secret}"


@dataclass(frozen=True)
class RevokedKey:
    """A key that nobody may use any more. at: when that was acknowledged, `time.monotonic`.

    token: an access token that was given for it before, or "".
    """

    key: LiveKey
    at: float
    token: str


@dataclass(frozen=True)
class LateAnswer:
    """A revoked key that was answered. started: when the gateway that did it was started."""

    revoked: RevokedKey
    answer: Answer
    started: float


class Trouble:
    """When the database was away or slow, in which time a gateway may answer by what it knows.

    The bench knows when it killed the database. Whether looking up a key was quick is seen at
    keys that do not exist, which no gateway can have in mind.
    """

    def __init__(self) -> None:
        self._outages: list[tuple[float, float]] = []
        self._lookups: list[tuple[float, float, bool]] = []

    def note_outage(self, start: float, end: float) -> None:
        """The database was away; a gateway thinks so a while longer."""
        self._outages.append((start, end + PAUSE_S))

    def note_lookup(self, answer: Answer) -> None:
        """Note how long it took to look up a key that does not exist."""
        seconds = answer.ended - answer.sent
        quick = answer.code in (INVALID_TOKEN, BUSY) and seconds < 0.8 * WAIT_KNOWN_S
        self._lookups.append((answer.sent, answer.ended, quick))

    def was_away(self, start: float, end: float) -> bool:
        """Whether the database was away in between."""
        return any(first <= end and start <= last for first, last in self._outages)

    def was_well(self, start: float, end: float) -> bool:
        """Whether all that was looked up then, and shortly before, was there at once."""
        since = start - 2.0 * PAUSE_S
        quick = [quick for sent, ended, quick in self._lookups if ended >= since and sent <= end]
        return len(quick) >= _ENOUGH_LOOKUPS and all(quick)


class Keys:
    """The keys of all apps.

    unsure: keys whose revocation was not acknowledged; both answers are right.
    """

    def __init__(self, trouble: Trouble, choose: random.Random) -> None:
        self.live: dict[str, list[LiveKey]] = {}
        self.unsure: list[LiveKey] = []
        self.revoked: list[RevokedKey] = []
        self.late: list[LateAnswer] = []
        self._trouble = trouble
        self._choose = choose

    def add(self, key: LiveKey) -> None:
        """A key that works from now on."""
        self.live.setdefault(key.app, []).append(key)

    def pick(self, app: str) -> LiveKey:
        """A key of an app that works."""
        return self._choose.choice(self.live[app])

    def is_live(self, key: LiveKey) -> bool:
        """Whether a key works for sure."""
        return key in self.live[key.app]

    def take(self) -> LiveKey | None:
        """A key that is going to be revoked; nobody uses it from now on."""
        if self.unsure:
            return self.unsure.pop(self._choose.randrange(len(self.unsure)))
        apps = [app for app, keys in self.live.items() if len(keys) > LEAST_LIVE]
        if not apps:
            return None
        keys = self.live[self._choose.choice(apps)]
        return keys.pop(self._choose.randrange(len(keys)))

    def judge(self) -> Iterator[tuple[LateAnswer, Finding | None]]:
        """Answers to revoked keys; without a finding in the grace that docs/access.md tells of."""
        for late in self.late:
            yield late, self._judge(late)

    def _judge(self, late: LateAnswer) -> Finding | None:
        after = late.answer.sent - late.revoked.at
        if after <= FRESH_S:
            return None
        since_start = late.answer.sent - late.started
        where = f"key {late.revoked.key.id}"
        if late.started > late.revoked.at:
            said = f"answered by a gateway started {since_start:.1f} s before, after the revocation"
            return Finding("revoked key answered", where, said)
        sent, ended = late.answer.sent, late.answer.ended
        if after <= STALE_S + FRESH_S and (
            self._trouble.was_away(sent, ended) or not self._trouble.was_well(sent, ended)
        ):
            return None
        return Finding("revoked key answered", where, f"{after:.1f} s after the revocation")
