"""GPUs as `devices` of a stage names them: numbers, UUIDs of GPUs, UUIDs of MIG instances."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_NUMBER = r"\d{1,4}"
# What `nvidia-smi -L` prints. Drivers before 470 name an instance by its GPU and two numbers.
_GPU = rf"GPU-{_UUID}"
_MIG = rf"MIG-(?:{_UUID}|GPU-{_UUID}/\d{{1,4}}/\d{{1,4}})"
ONE = re.compile(rf"{_NUMBER}|{_GPU}|{_MIG}")
# Of the setting, for pydantic: the identifiers with commas between them, or nothing.
SEVERAL = rf"^((?:{ONE.pattern})(?:,(?:{ONE.pattern}))*)?$"


def is_mig(identifier: str) -> bool:
    """Whether it names a MIG instance."""
    return identifier.startswith("MIG-")


def is_uuid(identifier: str) -> bool:
    """Whether it names a GPU or a MIG instance by a UUID, and not by a number."""
    return identifier.startswith(("MIG-", "GPU-"))


def chosen(devices: str, worker: int, replica: int, concurrency: int) -> str:
    """The identifier that a thread of a stage has; empty for the CPU.

    Replicas go on where the one before ended. Of MIG instances a replica has one, as CUDA shows a
    process no second one (CUDA programming guide, CUDA_VISIBLE_DEVICES).
    """
    if not devices:
        return ""
    each = devices.split(",")
    place = replica if is_mig(each[0]) else replica * concurrency + worker
    return each[place % len(each)]


def check(by_stage: Mapping[str, str], used: Sequence[Sequence[str]]) -> None:
    """Check that the devices of all stages go together.

    by_stage: what stands at each stage. used: of each replica, the identifiers that its stages
    use. Raises ValueError that names the key, the value and what is allowed.
    """
    kinds: dict[str, tuple[str, str]] = {}
    for stage, devices in by_stage.items():
        for one in filter(None, devices.split(",")):
            kind = "MIG" if is_mig(one) else "GPU" if is_uuid(one) else "number"
            kinds.setdefault(kind, (stage, one))
    if len(kinds) > 1:
        (_, other), (stage, one), *_ = kinds.values()
        raise ValueError(
            f"op.{stage}.devices: {one!r} is not allowed beside {other!r}: all stages name GPUs "
            "by numbers, or by UUIDs of whole GPUs, or by UUIDs of MIG instances"
        )
    for replica, identifiers in enumerate(used):
        if "MIG" in kinds and len(identifiers) > 1:
            raise ValueError(
                f"op.{kinds['MIG'][0]}.devices: {', '.join(identifiers)} are not allowed in one "
                f"process (replica {replica}): CUDA shows it one MIG instance only; name the same "
                "one at every stage, or as many as there are replicas in the same order"
            )
