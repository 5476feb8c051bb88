"""What is killed, how often, and in what order."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

# Of each round: what is killed so often. Some bring more than one kill: a gateway that is killed
# while it starts has been killed before, and the whole service takes the gateway's place first.
FRONT = {"gateway": 5, "gateway while it starts": 1, "pipeline": 1, "service": 1}
COMMANDS = {
    "keys create": 1,
    "keys revoke": 3,
    "keys list": 1,
    "library import": 1,
    "library delete-user": 2,
    "library delete-user --compact": 1,
    "library backup": 1,
    "library restore": 1,
    "library verify": 1,
    "library export": 1,
    "several commands": 1,
}
SERVER = {"database server": 1, "database session": 2}
# What is killed together as `several commands`.
TOGETHER = (
    "keys create",
    "keys revoke",
    "keys list",
    "library delete-user",
    "library verify",
    "library export",
)


class Round:
    """The kills of one round, in random order, apart by what can be killed at the same time."""

    def __init__(self, with_server: bool, most: int, choose: random.Random) -> None:
        """most: kills that are left to be done."""
        kinds = [*_each(FRONT), *_each(COMMANDS), *(_each(SERVER) if with_server else [])]
        choose.shuffle(kinds)
        del kinds[most:]
        self.front = [kind for kind in kinds if kind in FRONT]
        self.commands = [kind for kind in kinds if kind in COMMANDS]
        self.server = [kind for kind in kinds if kind in SERVER]


def _each(weights: Mapping[str, int]) -> Sequence[str]:
    return [kind for kind, count in weights.items() for _ in range(count)]
