"""What the processor can compute with, read from the kernel's list of its features."""

from __future__ import annotations

from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")
# Names of Linux's arch/x86/include/asm/cpufeatures.h.
_BF16 = frozenset({"avx512_bf16", "amx_bf16"})
# What oneDNN calls avx512_core; with it both engines can imitate bf16 where it is not there.
_AVX512 = frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl"})


@cache
def processor_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """The features that every core has; none where the kernel does not tell."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    cores = [frozenset(line.partition(":")[2].split()) for line in lines if _is_flags(line)]
    return frozenset.intersection(*cores) if cores else frozenset()


def _is_flags(line: str) -> bool:
    return line.partition(":")[0].strip() == "flags"


def has_bf16(flags: frozenset[str]) -> bool:
    """Whether products of 16-bit floats (bf16) are the processor's own: AVX512-BF16 or AMX."""
    return bool(_BF16 & flags)


def can_imitate_bf16(flags: frozenset[str]) -> bool:
    """Whether results in bf16 can be computed, however slowly."""
    return has_bf16(flags) or flags >= _AVX512
