"""What a processor can do is what the kernel says of it, of every core."""

from __future__ import annotations

from pathlib import Path

import pytest

from inference.processor import can_imitate_bf16, has_bf16, processor_flags

AVX2 = "fpu sse4_2 fma avx avx2"
ICE_LAKE = f"{AVX2} avx512f avx512dq avx512cd avx512bw avx512vl avx512_vnni"
ZEN_4 = f"{ICE_LAKE} avx512_bf16"
SAPPHIRE_RAPIDS = f"{ZEN_4} amx_bf16 amx_tile amx_int8"


def cpuinfo(folder: Path, *cores: str) -> Path:
    """As of Linux on x86, with what else stands there."""
    file = folder / "cpuinfo"
    lines = [
        f"processor\t: {number}\nmodel name\t: avx512_bf16 by its name only\n"
        f"flags\t\t: {flags}\nvmx flags\t: amx_bf16\nbugs\t\t: spectre_v1\n\n"
        for number, flags in enumerate(cores)
    ]
    file.write_text("".join(lines), encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("cores", "bf16", "imitated"),
    [
        ([AVX2, AVX2], False, False),
        ([ICE_LAKE, ICE_LAKE], False, True),
        ([ZEN_4], True, True),
        ([SAPPHIRE_RAPIDS] * 2, True, True),
        ([SAPPHIRE_RAPIDS, AVX2], False, False),
    ],
    ids=["AVX2", "Ice Lake", "Zen 4", "Sapphire Rapids", "one core cannot"],
)
def test_bf16_is_there_where_every_core_has_it(tmp_path, cores, bf16, imitated):
    flags = processor_flags(cpuinfo(tmp_path, *cores))
    assert (has_bf16(flags), can_imitate_bf16(flags)) == (bf16, imitated)


@pytest.mark.parametrize("text", [None, "", "processor\t: 0\n"])
def test_a_kernel_that_does_not_tell_has_nothing(tmp_path, text):
    file = tmp_path / "cpuinfo"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    assert processor_flags(file) == frozenset()
