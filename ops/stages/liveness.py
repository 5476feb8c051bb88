"""Liveness: does the picture show a live face; only for requests that ask for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from inference.runner import Timing
from ops.request_state import RequestState
from ops.worker import ModelWorker

FALSE_REJECT_RATES = ("frr_1e-4", "frr_1e-3", "frr_1e-2")

# By the models whose mean is the score, at those rates: what `python -m bench quality` says.
_THRESHOLDS = {
    ("antispoof",): (0.098, 0.16, 0.27),
    ("liveness",): (3.5e-16, 7.8e-12, 1.7e-07),
    ("minifasnet_v2",): (2.2e-08, 2.5e-06, 0.0003),
    ("minifasnet_v1se",): (3.1e-07, 1.6e-05, 0.00085),
    ("antispoof", "liveness"): (0.15, 0.19, 0.25),
    ("antispoof", "minifasnet_v2"): (0.034, 0.072, 0.15),
    ("antispoof", "minifasnet_v1se"): (0.07, 0.12, 0.2),
    ("liveness", "minifasnet_v2"): (0.0029, 0.011, 0.041),
    ("liveness", "minifasnet_v1se"): (0.00012, 0.0014, 0.017),
    ("minifasnet_v2", "minifasnet_v1se"): (9.6e-08, 8.5e-06, 0.00076),
    ("antispoof", "liveness", "minifasnet_v2"): (0.076, 0.12, 0.19),
    ("antispoof", "liveness", "minifasnet_v1se"): (0.054, 0.099, 0.18),
    ("antispoof", "minifasnet_v2", "minifasnet_v1se"): (0.027, 0.058, 0.13),
    ("liveness", "minifasnet_v2", "minifasnet_v1se"): (0.0028, 0.011, 0.043),
    ("antispoof", "liveness", "minifasnet_v2", "minifasnet_v1se"): (0.036, 0.073, 0.15),
}
_BY_SET = {frozenset(models): limits for models, limits in _THRESHOLDS.items()}


class LivenessWorker(ModelWorker):
    """Fills `face.liveness` with the mean of what the stage's models say, 0 to 1.

    Of mean, geometric mean, minimum, maximum and mean of logits, the mean told 132 live faces from
    48 versions of two re-captured ones best with antispoof and liveness (area under the curve
    0.68), and with the two MiniFASNet models within 0.01 of the best (0.94).
    """

    def concerns(self, request: RequestState) -> bool:
        return "liveness" in request.options.want

    def run(self, requests: Sequence[RequestState], timing: Timing) -> None:
        pairs = [
            pair
            for request in requests
            if "liveness" in request.options.want
            for pair in request.faces()
        ]
        samples = [(picture.rgb, face) for picture, face in pairs]
        scores = [runner.run(samples, timing) for runner in self.runners]
        for (_, face), mean in zip(pairs, np.mean(scores, axis=0) if pairs else ()):
            face.liveness = float(mean)


def thresholds(models: Sequence[str]) -> dict[str, float]:
    """Scores that a share of live faces stays below: "frr_1e-4", "frr_1e-3", "frr_1e-2".

    models: names of the models that the stage runs, in any order. Empty for models that have not
    been measured together.

    Measured on the largest faces of 146 pictures of live people (124 and 2 of television frames
    and portraits, 20 aligned press photos) by a tail fitted to the lowest tenth: 1e-3 and 1e-4
    are extrapolated. Frames and scans look re-captured to the models: of photos straight from a
    camera far fewer are refused. Measure your own with `python -m bench quality`.
    """
    found = _BY_SET.get(frozenset(models))
    return {} if found is None else dict(zip(FALSE_REJECT_RATES, found))
