"""What stops a command of ``python -m deploy``."""

from __future__ import annotations


class DeployError(Exception):
    """Something that the operator has to mend first; the message says what."""
