"""Turned pictures: found, aligned, and no stranger alike: ``python -m bench turned --gallery DIR``.

DIR holds a folder a person. Each picture is turned clockwise, and its largest face goes through the
code of the service's stages. The truth of the roll is what is told of the picture as it is, plus
the turn. Pairs are compared at the threshold of the recogniser's manifest: pictures at the same
turn with each other, and strangers also with the upright pictures. Exit status 1 where, at a
quarter turn, less holds than TARGETS say.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track

from bench.accuracy import LIMITS, STAGE_OF, chosen_models, gallery_files
from inference.manifest import ManifestError
from inference.recogniser import load_recogniser
from ops.local import LocalPipeline
from ops.pictures.picture import decode_picture
from terminal.console import open_console
from terminal.table import FittingTable
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
    pipeline: LocalPipeline,
    pictures: Sequence[np.ndarray],
    degrees: int,
    dim: int,
    console: Console,
) -> Turned:
    """The largest face of each picture (H, W, 3) at one turn."""
    rolls = np.full(len(pictures), np.nan)
    embeddings = np.full((len(pictures), dim), np.nan, np.float32)
    shown = track(pictures, f"{degrees} degrees", console=console, transient=True)
    for number, picture in enumerate(shown):
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


def main(argv: Sequence[str]) -> int:
    """Print the table; 1 where a quarter turn does not hold."""
    parser = argparse.ArgumentParser(prog="python -m bench turned", description=__doc__)
    add = parser.add_argument
    add("--gallery", type=Path, required=True, help="a folder per person")
    add("--config", default="config.yml", help="where the models are named")
    add("--between", action="store_true", help=f"also at {', '.join(map(str, BETWEEN))} degrees")
    add("--every", type=int, default=2, help="every so many pictures one (default: 2)")
    add("--skip", type=int, default=0, help="so many pictures at the start")
    for keyword, stage in STAGE_OF.items():
        add(f"--{keyword}", type=Path, metavar="MODEL", help=f"directory, instead of {stage}'s")
    arguments = parser.parse_args(argv)
    console = open_console()
    try:
        directories = chosen_models(arguments)
        recogniser = load_recogniser(directories["recognition"])
        pipeline = LocalPipeline(
            {stage: [directories[keyword]] for keyword, stage in STAGE_OF.items()}
        )
        files = gallery_files(arguments.gallery)[arguments.skip :: max(arguments.every, 1)]
        pictures = [decode_picture(file.read_bytes(), LIMITS) for _, file in files]
    except (OSError, ValueError, RuntimeError, ManifestError) as error:
        console.print(str(error), style="red")
        return 1
    people = np.unique([person for person, _ in files], return_inverse=True)[1]
    turns = sorted({*QUARTERS, *(BETWEEN if arguments.between else ())})
    found = [measure(pipeline, pictures, turn, recogniser.dim, console) for turn in turns]
    threshold = recogniser.scores.threshold
    rows = [row(one, found[0], people, threshold) for one in found]
    show(rows, len(pictures), console)
    return 0 if all(holds(one, len(pictures)) for one in rows if one.degrees in QUARTERS) else 1
