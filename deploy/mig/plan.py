"""Which instances of a GPU serve a number of tenants, and where on it they lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from deploy.mig.need import Need
from deploy.mig.profiles import Gpu, Profile


@dataclass(frozen=True)
class Instance:
    """An instance for a tenant. start: its first memory slice."""

    tenant: str
    profile: Profile
    start: int


@dataclass(frozen=True)
class Plan:
    """instances: in the order of the tenants; empty where they do not all fit, and why then."""

    instances: tuple[Instance, ...] = ()
    why: str = ""


def fitting(gpu: Gpu, need: Need) -> list[Profile]:
    """The profiles whose memory is enough, the smallest first."""
    enough = [one for one in gpu.profiles if one.usable_bytes >= need.bytes]
    return sorted(enough, key=lambda one: (one.compute, one.memory))


def plan(gpu: Gpu, needs: Mapping[str, Need]) -> Plan:
    """An instance for each tenant, none smaller than it needs.

    What is left over is given away, first to whom has the least of the multiprocessors.
    """
    choices = {name: fitting(gpu, need) for name, need in needs.items()}
    for name, profiles in choices.items():
        if not profiles:
            return Plan(why=f"{name} does not fit any profile of {gpu.title}")
    chosen = {name: profiles[0] for name, profiles in choices.items()}
    placed = _place(gpu, chosen)
    if placed is None:
        sizes = ", ".join(f"{name} {profile.name}" for name, profile in chosen.items())
        return Plan(why=f"they do not fit one {gpu.title} together: {sizes}")
    while (larger := _grown(gpu, chosen, choices, needs)) is not None:
        chosen, placed = larger
    return Plan(tuple(Instance(name, chosen[name], placed[name]) for name in needs))


def _grown(
    gpu: Gpu,
    chosen: Mapping[str, Profile],
    choices: Mapping[str, Sequence[Profile]],
    needs: Mapping[str, Need],
) -> tuple[dict[str, Profile], dict[str, int]] | None:
    """One tenant with the next larger profile, if there is room; None where nobody can grow."""
    for name in sorted(chosen, key=lambda one: (chosen[one].compute, -needs[one].bytes)):
        here = choices[name].index(chosen[name])
        for profile in choices[name][here + 1 :]:
            larger = {**chosen, name: profile}
            placed = _place(gpu, larger)
            if placed is not None:
                return larger, placed
    return None


def _place(gpu: Gpu, chosen: Mapping[str, Profile]) -> dict[str, int] | None:
    """The first memory slice of each; None where they do not fit together."""
    if sum(profile.compute for profile in chosen.values()) > gpu.compute:
        return None
    for profile in chosen.values():
        if sum(one.name == profile.name for one in chosen.values()) > profile.most:
            return None
    largest_first = sorted(chosen, key=lambda name: -chosen[name].memory)
    return next(_placements(gpu, chosen, largest_first, frozenset()), None)


def _placements(
    gpu: Gpu, chosen: Mapping[str, Profile], names: Sequence[str], taken: frozenset[int]
) -> Iterator[dict[str, int]]:
    if not names:
        yield {}
        return
    name, *rest = names
    for start in chosen[name].starts:
        slices = frozenset(range(start, start + chosen[name].memory))
        if slices & taken or max(slices) >= gpu.memory:
            continue
        for others in _placements(gpu, chosen, rest, taken | slices):
            yield {name: start, **others}


def commands(instances: Sequence[Instance], index: int) -> list[str]:
    """What divides the GPU of this number so; the first waits for all of its programs to end."""
    ordered = sorted(instances, key=lambda one: one.start)
    places = ",".join(f"{one.profile.name}:{one.start}" for one in ordered)
    return [
        f"nvidia-smi -i {index} -mig 1",
        f"nvidia-smi mig -i {index} -cgi {places} -C",
        "nvidia-smi -L",
    ]
