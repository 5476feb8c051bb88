"""The profiles of GPUs, from `profiles.yml`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from settings.section import Section
from settings.yaml_file import read_yaml

FILE = Path(__file__).with_name("profiles.yml")
# A profile's name rounds its memory. `nvidia-smi mig -lgip` shows what an instance really has, such
# as 16.00 GiB of 1g.18gb, 95.4 % of its gigabytes: the least of the profiles whose list was seen.
_SURE = 0.95
_GB = 10**9


class Profile(Section):
    """A kind of instance; see `profiles.yml` for its fields."""

    name: str = Field(pattern=r"^\d+g\.\d+gb$")
    compute: int = Field(ge=1, le=7)
    memory: int = Field(ge=1, le=8)
    starts: tuple[int, ...] = Field(min_length=1)
    most: int = Field(ge=1, le=7)

    @property
    def gigabytes(self) -> int:
        """Its memory as its name says it."""
        return int(self.name.partition(".")[2].removesuffix("gb"))

    @property
    def usable_bytes(self) -> int:
        """The memory that an instance has at least."""
        return int(self.gigabytes * _GB * _SURE)


class Gpu(Section):
    """A GPU that can be divided. source: the address of the page that its profiles are from."""

    title: str
    source: str
    compute: int = Field(ge=1, le=7)
    memory: int = Field(ge=1, le=8)
    profiles: tuple[Profile, ...] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _as_written(cls, raw: Any) -> Any:
        profiles = tuple(
            {**one, "starts": tuple(one["starts"])} for one in raw["profiles"]
        )  # fmt: skip
        return {**raw, "profiles": profiles}


@cache
def gpus() -> Mapping[str, Gpu]:
    """All GPUs by the names that `--gpu` takes."""
    document = read_yaml(FILE)
    sources = document["sources"]
    return {
        name: Gpu.model_validate({**raw, "source": sources[raw["source"]]})
        for name, raw in document["gpus"].items()
    }


def placements_source() -> str:
    """The address of the page that places of instances are from."""
    return str(read_yaml(FILE)["sources"]["placements"])
