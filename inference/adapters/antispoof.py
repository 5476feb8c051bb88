"""Re-capture: was the face photographed from a print or a screen."""

from __future__ import annotations

from inference.adapters.liveness import Liveness


class AntiSpoof(Liveness):
    """Input: RGB, 0 to 1, an upright square crop with some of what is around the face.

    Output: (N, 1) through a sigmoid, near 1 is live. Option ``scale`` as of :class:`Liveness`.
    """

    default_scale = 1.8
    bgr = False
