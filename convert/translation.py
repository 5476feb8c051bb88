"""What a translation gives back: the variables of the Paddle model that it wrote."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variable:
    """A feed or fetch variable of a Paddle inference model.

    name: the variable's name in the program.
    alias: the role by which the rest of the project knows it.
    dtype: numpy's name of the type, for example ``float32``.
    shape: -1 stands for the batch.
    """

    name: str
    alias: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Translation:
    """The feed and fetch variables of a written model, in the program's order."""

    inputs: list[Variable]
    outputs: list[Variable]
