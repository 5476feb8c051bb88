"""What stops an installation."""

from __future__ import annotations


class InstallError(Exception):
    """Something that has to be mended first; the text says what, and how."""
