"""Every attack by its name; one is sent by ``python -m bench.attacking.senders NAME``.

It reads one line with the fields of `Target` as JSON from standard input, sends the attack once and
ends with it. Each attack is bounded in count and time by itself.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from bench.attacking.clients import Target
from ops.process import die_with_parent

Send = Callable[[Target], None]

ATTACKS: dict[str, Send] = {}


if __name__ == "__main__":
    die_with_parent()
    ATTACKS[sys.argv[1]](Target(**json.loads(sys.stdin.readline())))
