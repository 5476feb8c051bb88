"""What the converter uses of Paddle's programs that is not meant for others.

`tests/project/test_private_names.py` says what is relied on.
"""

from __future__ import annotations

from typing import Any


def set_attribute(operator: Any, name: str, value: object) -> None:
    """Give an operator's attribute another value of the same type."""
    operator._set_attr(name, value)


def remove_attribute(operator: Any, name: str) -> None:
    """Take an attribute from an operator."""
    operator._remove_attr(name)


def remove_operator(block: Any, index: int) -> None:
    """Take an operator out of a program's block; its variables stay."""
    block._remove_op(index)
