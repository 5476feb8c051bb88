"""Turned pictures: found, aligned, and no stranger alike: ``python -m bench turned --gallery DIR``.

DIR holds a folder a person. Each picture is turned clockwise, and its largest face goes through the
code of the service's stages. The truth of the roll is what is told of the picture as it is, plus
the turn. Pairs are compared at the threshold of the recogniser's manifest: pictures at the same
turn with each other, and strangers also with the upright pictures. Exit status 1 where, at a
quarter turn, less holds than TARGETS say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import click
import cv2
import numpy as np
from rich.console import Console

from bench.accuracy import LIMITS, gallery_files
from bench.frame import CONFIG, GALLERY, Bench, benchmark
from bench.recognition import MODELS, chosen_models
from client.terminal.table import FittingTable
from ops.local import LocalPipeline
from ops.pictures.picture import decode_picture
from terminal.options import Count
from vision.face import Face

QUARTERS = (0, 90, 180, 270)
BETWEEN = (20, 45, 60, 135, 225, 300)
ROLL_WITHIN = 10.0


@dataclass(frozen=True)
class Targets:
    """What a quarter turn is held to, in shares.

    found: of the faces. strangers: of the pairs of different people above the threshold, at most.
    same: pairs of one person above it, by those of upright pictures.
    """

    found: float = 1.0
    strangers: float = 0.005
    same: float = 0.95


TARGETS = Targets()


@dataclass(frozen=True)
class Turned:
    """What was found of the pictures at one turn.

    rolls: (N,) degrees, NaN where no face was found. embeddings: (N, D) float32, NaN where there
    is none, be it that no face was found or that its alignment is not trusted.
    """

    degrees: int
    rolls: np.ndarray
    embeddings: np.ndarray


@dataclass(frozen=True)
class Row:
    """The figures of a turn; counts, and shares of pairs."""

    degrees: int
    found: int
    upright_roll: int
    without_embedding: int
    strangers: float
    strangers_of_upright: float
    same: float


def turn(picture: np.ndarray, degrees: int) -> np.ndarray:
    """A picture (H, W, 3) uint8 turned clockwise; what comes into it has the colour of the edge."""
    quarters, rest = divmod(degrees, 90)
    picture = np.ascontiguousarray(np.rot90(picture, -quarters))
    if not rest:
        return picture
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), -rest, 1.0)
    cos, sin = abs(matrix[0, :2])
    columns, rows = int(width * cos + height * sin), int(width * sin + height * cos)
    matrix[:, 2] += (columns - width) / 2, (rows - height) / 2
    return cv2.warpAffine(picture, matrix, (columns, rows), borderMode=cv2.BORDER_REPLICATE)


def measure(
    bench: Bench, pipeline: LocalPipeline, pictures: Sequence[np.ndarray], degrees: int, dim: int
) -> Turned:
    """The largest face of each picture (H, W, 3) at one turn."""
    rolls = np.full(len(pictures), np.nan)
    embeddings = np.full((len(pictures), dim), np.nan, np.float32)
    for number, picture in enumerate(bench.track(pictures, f"{degrees} degrees")):
        face = largest(pipeline, turn(picture, degrees))
        if face is not None and face.angle is not None:
            rolls[number] = face.angle[2]
        if face is not None and face.embedding is not None:
            embeddings[number] = face.embedding
    return Turned(degrees, rolls, embeddings)


def largest(pipeline: LocalPipeline, picture: np.ndarray) -> Face | None:
    """The largest face of a picture, with its angle and embedding."""
    faces = pipeline.analyze(picture, want=("angle", "embedding"), max_faces=1)
    return faces[0] if faces else None


def roll_errors(turned: Turned, upright: Turned) -> np.ndarray:
    """By how many degrees (N,) the roll that was told is wrong; NaN where none was."""
    wrong = turned.rolls - upright.rolls - (turned.degrees - upright.degrees)
    errors: np.ndarray = np.abs((wrong + 180) % 360 - 180)
    return errors


def row(turned: Turned, upright: Turned, people: np.ndarray, threshold: float) -> Row:
    """The figures of a turn; people: (N,) integer labels of the pictures."""
    first, second = np.triu_indices(len(people), k=1)
    same = people[first] == people[second]
    # A comparison with NaN is false: who has no embedding is like nobody.
    alike = (turned.embeddings @ turned.embeddings.T)[first, second] > threshold
    alike_upright = (upright.embeddings @ upright.embeddings.T)[first, second] > threshold
    across = turned.embeddings @ upright.embeddings.T > threshold
    return Row(
        degrees=turned.degrees,
        found=int(np.isfinite(turned.rolls).sum()),
        upright_roll=int((roll_errors(turned, upright) <= ROLL_WITHIN).sum()),
        without_embedding=int(np.isnan(turned.embeddings[:, 0]).sum()),
        strangers=float(alike[~same].mean()),
        strangers_of_upright=float(across[people[:, None] != people].mean()),
        same=float(alike[same].sum() / max(alike_upright[same].sum(), 1)),
    )


def holds(found: Row, pictures: int) -> bool:
    """Whether a turn is as TARGETS say."""
    return (
        found.found >= TARGETS.found * pictures
        and found.strangers <= TARGETS.strangers
        and found.same >= TARGETS.same
    )


def show(rows: Sequence[Row], pictures: int, console: Console) -> None:
    """Print the table."""
    table = FittingTable(f"{pictures} pictures, turned clockwise").figures(
        "turn", "found", f"roll within {ROLL_WITHIN:g}", "no embedding"
    )
    table.figures("strangers alike %", "and with upright %", "same alike, by upright")
    for one in rows:
        table.add_row(
            str(one.degrees),
            str(one.found),
            str(one.upright_roll),
            str(one.without_embedding),
            f"{100 * one.strangers:.2f}",
            f"{100 * one.strangers_of_upright:.2f}",
            f"{one.same:.3f}",
        )
    console.print(table)


@benchmark(
    GALLERY,
    CONFIG,
    *MODELS,
    click.option(
        "--between", is_flag=True, help=f"Also at {', '.join(map(str, BETWEEN))} degrees."
    ),
    click.option("--every", type=Count(1), default=2, help="Every so many pictures one."),
    click.option("--skip", type=Count(0), default=0, help="So many pictures at the start."),
    failures=(ValueError,),
)
def main(bench: Bench) -> None:
    """Every quarter turn has to hold."""
    asked, chosen = bench.asked, chosen_models(bench.asked)
    recogniser = chosen.recipe.recogniser()
    pipeline = chosen.pipeline()
    files = gallery_files(asked.gallery)[asked.skip :: asked.every]
    pictures = [decode_picture(file.read_bytes(), LIMITS) for _, file in files]
    people = np.unique([person for person, _ in files], return_inverse=True)[1]
    turns = sorted({*QUARTERS, *(BETWEEN if asked.between else ())})
    found = [measure(bench, pipeline, pictures, turn, recogniser.dim) for turn in turns]
    threshold = recogniser.scores.threshold
    rows = [row(one, found[0], people, threshold) for one in found]
    show(rows, len(pictures), bench.console)
    bench.results = {"pictures": len(pictures), "turns": [asdict(one) for one in rows]}
    for one in rows:
        if one.degrees in QUARTERS:
            bench.expected[f"turned by {one.degrees} degrees"] = holds(one, len(pictures))
