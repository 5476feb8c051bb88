"""The models that people are recognised with, as the command line or the settings name them.

And what an embedding costs where it takes more than one run of a network.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np

from inference.manifest import Manifest, ManifestError
from inference.predictor import Model
from inference.recogniser import Recipe
from inference.runner import Runner, Sample, Timing
from inference.scores import Recogniser
from ops.local import LocalPipeline
from ops.stages.arcface import ArcFaceWorker
from settings.config import load_config
from settings.dag import OpConfig, check_ops
from terminal.options import PATH

# Arguments of the command, and the stages of the configuration whose models they replace.
STAGE_OF = {"detection": "Detection", "landmark": "Landmark", "recognition": "ArcFace"}
RECOGNITION = STAGE_OF["recognition"]
MODELS = (
    *(
        click.option(
            f"--{keyword}",
            type=PATH,
            metavar="MODEL",
            help=f"Directory, instead of {STAGE_OF[keyword]}'s.",
        )
        for keyword in ("detection", "landmark")
    ),
    click.option(
        "--recognition",
        type=PATH,
        metavar="MODEL",
        multiple=True,
        help="Directory, instead of ArcFace's models; several are joined.",
    ),
    click.option(
        "--weight",
        "weights",
        type=float,
        multiple=True,
        help="Of each of several recognisers, instead of what their calibrations say.",
    ),
    click.option("--flip", is_flag=True, help="Also the mirrored face, as op.ArcFace.flip."),
)
# Runs of each way in turn, and faces a run.
_ROUNDS, _BATCH = 20, 8


@dataclass(frozen=True)
class Chosen:
    """directories: of the models, by stage. op: how the recognisers are used."""

    directories: dict[str, list[Path]]
    op: OpConfig

    @property
    def recipe(self) -> Recipe:
        """How embeddings are made. Raises ManifestError."""
        manifests = [Manifest.load(path) for path in self.directories[RECOGNITION]]
        return Recipe.of(manifests, self.op.weights, self.op.flip)

    @property
    def is_plain(self) -> bool:
        """Whether an embedding is one run of one network."""
        return len(self.directories[RECOGNITION]) == 1 and not self.op.flip

    def names(self) -> dict[str, str]:
        """Of the models, by the command's arguments."""
        found = {keyword: self.directories[stage][0].name for keyword, stage in STAGE_OF.items()}
        return {**found, "recognition": self.recipe.name}

    def recogniser(self) -> Recogniser | None:
        """With the scale of its scores; None where that is not known."""
        try:
            return self.recipe.recogniser()
        except ManifestError:
            return None

    def pipeline(self) -> LocalPipeline:
        """Detection, landmarks and embeddings."""
        return LocalPipeline(self.directories, ops={RECOGNITION: self.op})


def chosen_models(asked: Any) -> Chosen:
    """The configuration's models where no argument says else.

    asked: has `MODELS`. Raises ConfigError where the configuration can't be used or its model isn't
    converted, ValueError for weights that do not fit the models.
    """
    config = load_config(asked.config)
    directories = {
        stage: [path] if (path := getattr(asked, keyword, None)) else config.chosen_models(stage)
        for keyword, stage in STAGE_OF.items()
        if keyword != "recognition"
    }
    op = config.op[RECOGNITION]
    if asked.recognition:
        directories[RECOGNITION] = list(asked.recognition)
        op = OpConfig()
    else:
        directories[RECOGNITION] = config.chosen_models(RECOGNITION)
    names = tuple(str(path) for path in directories[RECOGNITION])
    weights = asked.weights or op.weights
    op = OpConfig(
        inputs=config.op[RECOGNITION].inputs, models=names, weights=weights,
        flip=asked.flip or op.flip,
    )  # fmt: skip
    check_ops({**config.op, RECOGNITION: op})
    return Chosen(directories, op)


def mirrored_cosines(directories: Sequence[Path], samples: Sequence[Sample]) -> dict[str, float]:
    """By model, the cosine of a face's embedding and its mirror image's in the mean."""
    found = {}
    for directory in directories:
        runner = Runner(Model.load(directory), _BATCH)
        both = np.array(runner.run_mirrored(samples, Timing()))
        found[directory.name] = float(np.einsum("nd,nd->n", both[:, 0], both[:, 1]).mean())
    return found


def relative_cost(chosen: Chosen, samples: Sequence[Sample]) -> dict[str, float]:
    """Time of the embeddings, by faces a run, as a multiple of the first network's plain ones.

    Both ways take turns in this process; the medians are compared.
    """
    models = [Model.load(path) for path in chosen.directories[RECOGNITION]]
    plain = ArcFaceWorker([Runner(models[0], _BATCH)])
    wanted = ArcFaceWorker.with_settings([Runner(model, _BATCH) for model in models], chosen.op)
    found = {}
    for count in sorted({1, min(_BATCH, len(samples))}):
        seconds: tuple[list[float], list[float]] = ([], [])
        for turn in range(_ROUNDS + 1):
            for worker, took in zip((plain, wanted), seconds):
                started = time.perf_counter()
                worker.embeddings(samples[:count], Timing())
                if turn:  # the first one makes the kernels
                    took.append(time.perf_counter() - started)
        found[str(count)] = statistics.median(seconds[1]) / statistics.median(seconds[0])
    return found
