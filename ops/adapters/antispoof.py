"""Re-capture: was the face photographed from a print or a screen."""

from __future__ import annotations

from ops.adapters.liveness import Liveness


class AntiSpoof(Liveness):
    """Input as of :class:`Liveness`. Output: (N, 1) through a sigmoid, near 1 is live."""
