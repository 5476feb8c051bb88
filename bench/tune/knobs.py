"""What can be turned: settings of config.yml, each with the values that are worth trying here."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.load.pictures import PictureSet
from bench.tune.settings_file import Key
from settings.config import Config
from tracer.setup import OpSettings, setup_of

BATCHES = (1, 2, 4, 8, 16)
WHOLE = ("cores", "replicas")  # settings of the whole service


@dataclass(frozen=True)
class Knob:
    """A setting. now: its value in the file. values: others to try, ascending."""

    key: Key
    now: int
    values: tuple[int, ...]

    @property
    def name(self) -> str:
        """As in ``op.Detection.batch_size``."""
        return ".".join(self.key)


def knobs(
    config: Config, cores: int, ops: Sequence[str] = (), also: Collection[str] = ()
) -> list[Knob]:
    """The knobs of these ops (all where none is named) and of `WHOLE`, in the order to turn them.

    Threads go up to one more than there are cores for a replica, batches to 16 or what the op's
    models take. Ops with models come first: the work is in them.
    """
    setup = setup_of(config, cores)
    names = list(ops) or sorted(config.op, key=lambda name: not config.op[name].models)
    per_replica = max(1, cores // config.replicas)
    found = [knob for name in names for knob in _of_op(name, setup.ops[name], per_replica)]
    if "cores" in also:
        # 0 is one slot a core; as many slots as that, said as a number, is the same.
        values = {0, *_rising(per_replica + 1)} - {per_replica}
        found.append(_knob(("cores",), config.cores, values))
    if "replicas" in also:
        found.append(_knob(("replicas",), config.replicas, _rising(cores)))
    return [knob for knob in found if knob.values]


def _of_op(name: str, settings: OpSettings, cores: int) -> list[Knob]:
    threads = {value for value in (*_rising(cores), cores + 1) if value <= 64}
    found = [_knob(("op", name, "concurrency"), settings.concurrency, threads)]
    if settings.model:
        sizes = {size for size in BATCHES if size <= (settings.max_batch or size)}
        found.append(_knob(("op", name, "batch_size"), settings.batch_size, sizes))
    return found


def _knob(key: Key, now: int, values: Collection[int]) -> Knob:
    return Knob(key, now, tuple(sorted(set(values) - {now})))


def _rising(most: int) -> set[int]:
    """1, 2, 4 and so on, and `most` itself."""
    return {1 << n for n in range(most.bit_length()) if 1 << n <= most} | {most}


def idle_ops(config: Config, sets: Sequence[PictureSet]) -> set[str]:
    """Ops that have next to nothing to do for these pictures; turning them would measure noise."""
    idle = set()
    if not any("attributes" in pictures.want for pictures in sets):
        idle.add("Attributes")
    if not any("liveness" in pictures.want for pictures in sets):
        idle.add("Liveness")
    if all(pictures.aligned for pictures in sets):
        idle |= {"Detection", "Landmark"}
    return idle & set(config.op)


def set_values(settings: dict[str, Any], values: Mapping[Key, int]) -> None:
    """Change the settings of a service that is about to be started."""
    for key, value in values.items():
        section = settings
        for name in key[:-1]:
            if section.get(name) is None:
                section[name] = {}
            section = section[name]
        section[key[-1]] = value
