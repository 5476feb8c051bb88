"""What the library has to hold: every acknowledged change, and both ends of those that are unknown.

A change ends in one of three ways. *Acknowledged*: it is true from now on. *Refused*: it was not
done. *Unknown*: the connection was lost, or the answer says that the database failed, so that both
outcomes are right. A later look settles which it was, and from then on that must stay so. That it
was not done is only believed once nobody is left who might still do it: see `Fence`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

# (group, user); the group itself where the user is "".
Key = tuple[str, str]


@dataclass(frozen=True)
class Person:
    """A user of a group. tokens: of the faces. more: faces whose tokens have not been told.

    info: None where nobody has said what it is to be.
    """

    tokens: frozenset[str] = frozenset()
    info: str | None = None
    more: int = 0

    def admits(self, seen: Person) -> bool:
        """Whether this is what was seen."""
        count = len(self.tokens) + self.more
        same_info = self.info is None or self.info == seen.info
        return self.tokens <= seen.tokens and len(seen.tokens) == count and same_info


# None: there is no such user or group.
State = Person | None
GROUP = Person()


def admits(expected: State, seen: State) -> bool:
    """Whether what was seen is what is expected."""
    if expected is None or seen is None:
        return expected is seen
    return expected.admits(seen)


@dataclass(frozen=True)
class Finding:
    """Something that must not be. kind: lost, resurrected, half, ..."""

    kind: str
    where: str
    detail: str


# Says whether everything that was under way when it was taken has ended, one way or the other.
Fence = Callable[[], bool]


@dataclass(eq=False)
class Operation:
    """A change of one or several users and groups, done as a whole or not at all."""

    kind: str
    before: Mapping[Key, State]
    after: Mapping[Key, State]
    fence: Fence = lambda: False


@dataclass(frozen=True)
class Watch:
    """What was known when a look began. fenced: the doubt about it can be settled by the look."""

    stamp: int
    fenced: bool


@dataclass(frozen=True)
class Mark:
    """What was certain at a moment. unsure: what was not."""

    stamp: int
    settled: Mapping[Key, Person]
    unsure: frozenset[Key]


class Ledger:
    """What one client has been told. Each key has one operation at a time.

    owner: with whose name those of the users begin, and an underscore.
    """

    def __init__(self, app: str, owner: str) -> None:
        self.app = app
        self.owner = owner
        self.settled: dict[Key, Person] = {}
        self.busy: dict[Key, Operation] = {}
        self.doubts: dict[Key, Operation] = {}
        self._stamps: dict[Key, int] = {}
        self._clock = 0

    def is_free(self, key: Key) -> bool:
        """Whether nothing is under way and the state is certain."""
        return key not in self.busy and key not in self.doubts

    def tokens_in(self, group: str) -> set[str]:
        """Of the faces that users of a group have, or may have while something is under way."""
        states = [state for key, state in self.settled.items() if key[0] == group]
        for key, operation in {**self.doubts, **self.busy}.items():
            if key[0] == group:
                states += filter(None, (operation.before[key], operation.after[key]))
        return {token for state in states for token in state.tokens}

    def begin(self, kind: str, after: Mapping[Key, State]) -> Operation:
        """An operation that is going to be asked for; its keys have to be free."""
        taken = [key for key in after if not self.is_free(key)]
        if taken:
            raise ValueError(f"{taken[0]} has an operation already")
        operation = Operation(kind, {key: self.settled.get(key) for key in after}, dict(after))
        for key in after:
            self.busy[key] = operation
        self._stamp(after)
        return operation

    def acknowledge(self, operation: Operation, token: str | None = None) -> None:
        """It has been answered with success. token: of the new face, where it was told."""
        self._free(operation)
        for key, state in operation.after.items():
            if state is not None and state.more and token is not None:
                state = Person(state.tokens | {token}, state.info, state.more - 1)
            self._settle(key, state)

    def refuse(self, operation: Operation) -> None:
        """It was certainly not done."""
        self._free(operation)

    def doubt(self, operation: Operation, fence: Fence) -> None:
        """It may have been done or not, or may still be."""
        self._free(operation)
        operation.fence = fence
        for key in operation.after:
            self.doubts[key] = operation

    def watch(self, key: Key) -> Watch:
        """To be taken before a look at a key."""
        operation = self.doubts.get(key)
        return Watch(self._stamps.get(key, 0), operation is not None and operation.fence())

    def look(self, key: Key, seen: State, watch: Watch) -> list[Finding]:
        """Compare what was seen of a key, and settle what was in doubt."""
        if key in self.busy or self._stamps.get(key, 0) != watch.stamp:
            return []  # changed while it was looked at
        operation = self.doubts.get(key)
        if operation is not None:
            return self._settle_doubt(operation, key, seen, watch)
        expected = self.settled.get(key)
        self._settle(key, seen)
        if admits(expected, seen):
            return []
        return [_finding(self.app, key, expected, seen)]

    def mark(self) -> Mark:
        """To be taken before a look at everything."""
        return Mark(self._clock, dict(self.settled), frozenset({*self.busy, *self.doubts}))

    def compare(self, mark: Mark, seen: Mapping[Key, Person]) -> list[Finding]:
        """Compare a listing of all users; what was touched since the mark is left out."""
        users = {key for key in mark.settled if key[1]}
        return [
            _finding(self.app, key, mark.settled.get(key), seen.get(key))
            for key in sorted({*users, *seen})
            if self._was_quiet(key, mark) and not admits(mark.settled.get(key), seen.get(key))
        ]

    def compare_names(self, mark: Mark, group: str, names: Iterable[str]) -> list[Finding]:
        """Compare who is in a group."""
        listed = {(group, name) for name in names}
        expected = {key for key in mark.settled if key[0] == group and key[1]}
        return self._compare_presence(mark, listed, expected)

    def compare_groups(self, mark: Mark, names: Iterable[str]) -> list[Finding]:
        """Compare which groups there are."""
        expected = {key for key in mark.settled if not key[1]}
        return self._compare_presence(mark, {(name, "") for name in names}, expected)

    def _compare_presence(self, mark: Mark, listed: set[Key], due: set[Key]) -> list[Finding]:
        return [
            _finding(self.app, key, mark.settled.get(key), GROUP if key in listed else None)
            for key in sorted(listed ^ due)
            if self._was_quiet(key, mark)
        ]

    def _was_quiet(self, key: Key, mark: Mark) -> bool:
        """Whether a key was certain at a mark, and has not been touched since."""
        return key not in mark.unsure and self._stamps.get(key, 0) <= mark.stamp

    def _settle_doubt(
        self, operation: Operation, key: Key, seen: State, watch: Watch
    ) -> list[Finding]:
        before, after = operation.before[key], operation.after[key]
        done, undone = admits(after, seen), admits(before, seen)
        if done and undone:
            return []  # this key does not tell
        if undone and not watch.fenced:
            return []
        if not done and not undone:
            self._end_doubt(operation, operation.before)
            self._settle(key, seen)
            where = f"{self.app} {_name(key)}"
            return [Finding("half", where, f"{operation.kind}: {_told(before)} or {_told(after)} "
                            f"expected, seen {_told(seen)}")]  # fmt: skip
        self._end_doubt(operation, operation.after if done else operation.before)
        self._settle(key, seen)
        return []

    def _end_doubt(self, operation: Operation, states: Mapping[Key, State]) -> None:
        for key, state in states.items():
            del self.doubts[key]
            self._settle(key, state)
        self._stamp(states)

    def _free(self, operation: Operation) -> None:
        for key in operation.after:
            del self.busy[key]
        self._stamp(operation.after)

    def _stamp(self, keys: Iterable[Key]) -> None:
        self._clock += 1
        for key in keys:
            self._stamps[key] = self._clock

    def _settle(self, key: Key, state: State) -> None:
        if state is None:
            self.settled.pop(key, None)
        else:
            self.settled[key] = state


def _finding(app: str, key: Key, expected: State, seen: State) -> Finding:
    where = f"{app} {_name(key)}"
    detail = f"{_told(expected)} expected, seen {_told(seen)}"
    if expected is None or (seen is not None and expected.tokens < seen.tokens):
        return Finding("resurrected", where, detail)
    return Finding("lost", where, detail)


def _name(key: Key) -> str:
    return f"{key[0]}/{key[1]}" if key[1] else f"group {key[0]}"


def _told(state: State) -> str:
    if state is None:
        return "nothing"
    faces = ", ".join(sorted(token[:8] for token in state.tokens)) or "no known faces"
    more = f" and {state.more} more" if state.more else ""
    return f"[{faces}{more}; info {state.info!r}]"
