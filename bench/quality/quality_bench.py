"""What quality, angle and liveness say of good and of spoilt pictures: ``python -m bench quality``.

DIR holds a folder a person, all live and fit for use. The largest face of each picture is measured
as it is and after blurring, darkening and cutting it; the tables are what the levels of
`gateway/api/levels.py` and the thresholds of `ops/stages/liveness.py` were chosen by. Exit status 1
where fewer than 95 in 100 of the pictures as they are pass at NORMAL. Last, in how many of them a
face is still found when they are cut too tight, or small and noisy, and in how many without one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from rich.console import Console

from bench.accuracy import LIMITS, MIN_SCORE, gallery_files
from bench.frame import CONFIG, GALLERY, Bench, benchmark
from bench.quality.finding import show_finding
from client.pictures import SUFFIXES
from client.terminal.table import FittingTable
from gateway.api.levels import LEVELS, quality_fault
from ops.local import LocalPipeline
from ops.pictures.picture import decode_picture
from ops.stages.liveness import FALSE_REJECT_RATES
from settings.config import load_config
from terminal.options import PATH
from vision.face import Face
from vision.geometry import ARCFACE_POINTS, ARCFACE_SIZE, fit_similarity, warp
from vision.occlusion import REGIONS
from vision.quality import blur, illumination

WANTED_SHARE = 0.95
# The share of the lowest scores that the tail is fitted to.
_TAIL = 0.1

Spoil = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Portrait:
    """The largest face of a picture; grey: its aligned face, (112, 112) uint8."""

    picture: np.ndarray
    face: Face
    grey: np.ndarray


def gaussian(sigma: float) -> Spoil:
    """Out of focus: a Gaussian of so many pixels of the aligned face."""
    return lambda grey: cv2.GaussianBlur(grey, (0, 0), sigma)


def motion(length: int) -> Spoil:
    """Moved to the side by so many pixels of the aligned face."""
    return lambda grey: cv2.blur(grey, (length, 1))


def reduced(side: int) -> Spoil:
    """As if the face had been so many pixels large."""

    def spoil(grey: np.ndarray) -> np.ndarray:
        small = cv2.resize(grey, (side, side), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (ARCFACE_SIZE, ARCFACE_SIZE), interpolation=cv2.INTER_LINEAR)

    return spoil


def scaled(factor: float) -> Spoil:
    """Brighter or darker."""
    return lambda grey: np.clip(grey * float(factor), 0, 255).astype(np.uint8)


def same(grey: np.ndarray) -> np.ndarray:
    """As it is."""
    return grey


BLURS: Mapping[str, Spoil] = {
    "as they are": same,
    **{f"Gaussian {sigma:g}": gaussian(sigma) for sigma in (0.5, 1, 1.5, 2, 3, 4)},
    **{f"motion {length}": motion(length) for length in (5, 9, 15)},
    **{f"{side} pixels": reduced(side) for side in (56, 40, 28, 20)},
    "0.4 of the contrast": scaled(0.4),
}
SPOILT: Mapping[str, Spoil] = {
    "as they are": same,
    **{f"Gaussian {sigma:g}": gaussian(sigma) for sigma in (1, 2, 3, 4)},
    **{f"brightness x {factor:g}": scaled(factor) for factor in (0.5, 0.25, 0.125, 4)},
}
CUTS = (0.1, 0.2, 0.3)


def portraits(pipeline: LocalPipeline, files: Iterable[Path]) -> list[Portrait]:
    """The largest face of each picture that has one."""
    found = []
    for file in files:
        picture = decode_picture(file.read_bytes(), LIMITS)
        face = largest(pipeline, picture)
        if face is not None and face.landmarks is not None:
            matrix = fit_similarity(face.landmarks, ARCFACE_POINTS)
            crop = warp(picture, matrix, ARCFACE_SIZE, cv2.BORDER_REPLICATE)
            found.append(Portrait(picture, face, cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)))
    return found


def largest(pipeline: LocalPipeline, picture: np.ndarray) -> Face | None:
    """The largest face of a picture with all that is measured of it, or None."""
    want = ("angle", "quality", "liveness")
    faces = pipeline.analyze(picture, want=want, max_faces=1, min_score=MIN_SCORE)
    return faces[0] if faces and faces[0].mesh is not None else None


def cut(portrait: Portrait, side: int, share: float) -> np.ndarray:
    """The picture without a share of the face's box; side: 0 left, 1 top, 2 right, 3 bottom."""
    height, width = portrait.picture.shape[:2]
    x1, y1, x2, y2 = portrait.face.box
    across, down = share * (x2 - x1), share * (y2 - y1)
    window = [
        (max(x1 + across, 0), 0, width, height),
        (0, max(y1 + down, 0), width, height),
        (0, 0, min(x2 - across, width), height),
        (0, 0, width, min(y2 - down, height)),
    ][side]
    left, top, right, bottom = (int(v) for v in window)
    return np.ascontiguousarray(portrait.picture[top:bottom, left:right])


def percentiles(console: Console, title: str, rows: Mapping[str, Sequence[float]]) -> None:
    """A table of percentiles, a row a series of values."""
    table = FittingTable(title).names("").figures("1 %", "5 %", "50 %", "95 %", "99 %")
    for name, values in rows.items():
        table.add_row(name, *(f"{v:.3g}" for v in np.percentile(values, (1, 5, 50, 95, 99))))
    console.print(table)


def quality_of(portrait: Portrait, spoil: Spoil) -> dict[str, Any]:
    """Quality as the pipeline answers it, of a face that was spoilt."""
    grey = spoil(portrait.grey)
    quality: dict[str, Any] = {"blur": blur(grey), "illumination": illumination(grey)}
    told = portrait.face.quality
    if told is not None:
        quality.update(completeness=told.completeness, occlusion=told.occlusion)
    return quality


def passes(quality: Mapping[str, Any], face: Face, level: str) -> bool:
    """Whether a face is good enough for a level."""
    yaw = 0.0 if face.angle is None else float(face.angle[0])
    return quality_fault(quality, {"yaw": yaw}, level) is None


def level_table(found: Sequence[Portrait]) -> dict[str, list[float]]:
    """Share of the faces that pass at each level, by what was done to them."""
    rows = {}
    for name, spoil in SPOILT.items():
        qualities = [(quality_of(portrait, spoil), portrait.face) for portrait in found]
        rows[name] = [
            float(np.mean([passes(quality, face, level) for quality, face in qualities]))
            for level in LEVELS
        ]
    return rows


def cut_table(pipeline: LocalPipeline, found: Sequence[Portrait], share: float) -> list[float]:
    """Share of the faces that still pass at each level when a part of the box is cut off.

    Of pictures in which a face is still found; a quarter of them is cut on each side.
    """
    qualities = []
    for number, portrait in enumerate(found):
        picture = cut(portrait, number % 4, share)
        face = largest(pipeline, picture) if min(picture.shape[:2]) > 1 else None
        if face is not None and face.quality is not None:
            left = {"completeness": face.quality.completeness}
            qualities.append(({**quality_of(portrait, same), **left}, face))
    return [float(np.mean([passes(q, face, level) for q, face in qualities])) for level in LEVELS]


def tail_quantile(scores: np.ndarray, rate: float) -> float:
    """The score that a share of live faces lies below, however small the share.

    scores: (N,) of live faces, 0 to 1. Below the lowest tenth the share is taken to fall as a power
    of the score, with Hill's estimate of the exponent (Annals of Statistics 3, 1975).
    """
    ordered = np.sort(np.maximum(scores, 1e-6))
    count = max(round(len(ordered) * _TAIL), 1)
    edge = ordered[count]
    slope = float(np.log(edge / ordered[:count]).mean())
    return float(edge * (rate * len(ordered) / count) ** slope)


def show_liveness(console: Console, models: Sequence[str], scores: np.ndarray) -> None:
    """Percentiles of the scores of live faces, and the thresholds that follow."""
    percentiles(console, f"liveness, {'+'.join(models)}", {"score": scores.tolist()})
    rates = (float(name.partition("_")[2]) for name in FALSE_REJECT_RATES)
    limits = (tail_quantile(scores, rate) for rate in rates)
    named = ", ".join(f"{name} {v:.2g}" for name, v in zip(FALSE_REJECT_RATES, limits))
    console.print(f"thresholds over {len(scores)} faces: {named}\n")


def show(
    console: Console, pipeline: LocalPipeline, found: Sequence[Portrait]
) -> dict[str, list[float]]:
    """Print the tables of quality and angle; what passes at each level, by what was done to it."""
    blurs = {name: [blur(spoil(p.grey)) for p in found] for name, spoil in BLURS.items()}
    percentiles(console, "blur", blurs)
    angles = np.array([p.face.angle for p in found])
    qualities = [p.face.quality for p in found if p.face.quality is not None]
    others: dict[str, Sequence[float]] = {
        name: angles[:, column].tolist() for column, name in enumerate(("yaw", "pitch", "roll"))
    }
    others["illumination"] = [quality.illumination for quality in qualities]
    others["completeness"] = [quality.completeness or 0.0 for quality in qualities]
    for region in REGIONS:
        others[f"occlusion {region}"] = [(q.occlusion or {}).get(region, 0.0) for q in qualities]
    percentiles(console, "the rest, as they are", others)
    shares = level_table(found)
    shares.update(
        {f"{share:g} of the box cut off": cut_table(pipeline, found, share) for share in CUTS}
    )
    table = FittingTable("levels").names("share that passes").figures(*LEVELS)
    for name, row in shares.items():
        table.add_row(name, *(f"{value:.2f}" for value in row))
    console.print(table)
    return shares


@benchmark(
    GALLERY,
    CONFIG,
    click.option("--liveness", metavar="A,B", help="Models instead of the configuration's."),
    click.option("--live", type=PATH, multiple=True, metavar="DIR",
                 help="A folder of live faces more; may be repeated."),
    failures=(ValueError,),
)  # fmt: skip
def main(bench: Bench) -> None:
    """Good pictures have to pass."""
    asked, console = bench.asked, bench.console
    config = load_config(asked.config)
    liveness = (
        [config.model_dir(name) for name in asked.liveness.split(",")]
        if asked.liveness
        else config.chosen_models("Liveness")
    )
    models = {name: config.chosen_models(name) for name in ("Detection", "Landmark")}
    pipeline = LocalPipeline({**models, "Liveness": liveness})
    found = portraits(pipeline, [file for _, file in gallery_files(asked.gallery)])
    more = [file for folder in asked.live for file in sorted(folder.iterdir())]
    live = portraits(pipeline, [file for file in more if file.suffix.lower() in SUFFIXES])
    console.print(f"{len(found)} faces as they are, {len(live)} more for liveness\n")
    shares = show(console, pipeline, found)
    show_finding(console, pipeline, [(p.picture, p.face.box) for p in found])
    scores = [p.face.liveness for p in [*found, *live] if p.face.liveness is not None]
    show_liveness(console, [path.name for path in liveness], np.array(scores))
    bench.results = {"faces": len(found), "levels": list(LEVELS), "passing": shares}
    normal = shares["as they are"][list(LEVELS).index("NORMAL")]
    bench.expected[f"at least {WANTED_SHARE:.0%} pass at NORMAL"] = normal >= WANTED_SHARE
