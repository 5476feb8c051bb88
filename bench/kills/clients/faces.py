"""Pictures to enrol: no two of them are the same."""

from __future__ import annotations

import numpy as np

from bench.load.pictures import aligned_face, encoded, one_face

_SIGMA = 8.0


class Pictures:
    """Faces under noise of their own, in base64."""

    def __init__(self, seed: int) -> None:
        self._noise = np.random.default_rng(seed)
        self._aligned = aligned_face()
        self._portrait = one_face(320, 240)

    def aligned(self) -> str:
        """A face as recognition takes it."""
        return self._noisy(self._aligned)

    def portrait(self) -> str:
        """A picture in which a face has to be found."""
        return self._noisy(self._portrait)

    def _noisy(self, pixels: np.ndarray) -> str:
        noise = self._noise.normal(0.0, _SIGMA, pixels.shape)
        return encoded(np.rint(pixels + noise).clip(0, 255).astype(np.uint8))
