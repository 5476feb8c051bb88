"""The smallest picture that can be asked about: whether the service answers."""

from __future__ import annotations

# A white pixel as PNG, in base64.
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)
