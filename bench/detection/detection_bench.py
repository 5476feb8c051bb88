"""Faces of which size are found, and at what cost: ``python -m bench detection --gallery DIR``.

DIR holds a folder a person. Faces of 16 to 320 pixels are pasted into pictures of 1920x1080 and
3840x2160 without a face; a table for each says which share of them each detector finds in one look,
YuNet at several sizes of its input, and what the service finds with `smallest_face`. Then how many
boxes ten pictures have that are no face's, and how long a picture takes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import numpy as np

from bench.accuracy import LIMITS, MIN_SCORE, gallery_files
from bench.detection.scenes import Portrait, Scene, backgrounds, scene
from bench.frame import CONFIG, GALLERY, Bench, benchmark, several
from client.terminal.table import FittingTable
from inference.adapters.base import portrait_box
from inference.predictor import Model
from inference.runner import Runner, Timing
from ops.local import LocalPipeline
from ops.options import Options
from ops.pictures.picture import decode_picture
from ops.stages.small_faces import searched_pixels
from settings.config import Config, load_config
from terminal.options import Count
from vision.suppression import overlaps

PICTURES = {"1920x1080": (1920, 1080), "3840x2160": (3840, 2160)}
SIZES = (16, 24, 32, 40, 48, 64, 96, 160, 320)
INPUTS = (640, 960, 1280)
# A box is a face's where they overlap by so much (IoU); detectors differ about forehead and chin.
_MATCH = 0.3
# What `smallest_face` is held to.
_HELD_SIZE, _HELD_PICTURE = 40, "3840x2160"
_RECALL = 0.9
_FALSE_BOXES = 1.0

# Boxes (N, 4) of the faces in a picture whose faces have so many pixels.
Find = Callable[[np.ndarray, int], np.ndarray]


@dataclass(frozen=True)
class Row:
    """recall: by the size of faces. false_boxes: in ten pictures. ms: a picture, in the median.

    ms of `smallest_face` is by size, as its cost depends on that.
    """

    detector: str
    recall: dict[int, float]
    false_boxes: float
    ms: dict[int, float]


def portraits(pipeline: LocalPipeline, files: Sequence[Path], most: int) -> list[Portrait]:
    """The largest faces of pictures of which so many are taken, evenly spread."""
    found = []
    for file in files[:: max(1, len(files) // most)]:
        picture = decode_picture(file.read_bytes(), LIMITS)
        faces = pipeline.analyze(picture, max_faces=1, min_score=MIN_SCORE)
        if faces:
            found.append(Portrait(picture, portrait_box(faces[0])))
    return found


def one_look(model_dir: Path, options: Mapping[str, int] | None = None) -> Find:
    """A detector that sees the whole picture once; options: of its family."""
    runner = Runner(Model.load(model_dir), 1, options)
    least = Options().min_score

    def find(picture: np.ndarray, _: int) -> np.ndarray:
        (detections,) = runner.run([(picture, None)], Timing())
        return np.asarray(detections.boxes[detections.scores >= least])

    return find


def searched(pipeline: LocalPipeline) -> Find:
    """The service's stages, with `smallest_face` as it has to be for the picture's faces."""

    def find(picture: np.ndarray, size: int) -> np.ndarray:
        faces = pipeline.analyze(picture, ("landmarks",), max_faces=1000, smallest_face=size)
        return np.array([face.box for face in faces], np.float32).reshape(-1, 4)

    return find


def measure(name: str, find: Find, scenes: Mapping[int, Sequence[Scene]]) -> Row:
    """scenes: by the size of the faces in them."""
    recall, times, wrong, pictures = {}, {}, 0, 0
    find(next(iter(scenes.values()))[0].picture, max(scenes))
    for size, some in scenes.items():
        hits, faces, taken = 0, 0, []
        for one in some:
            begun = time.perf_counter()
            boxes = find(one.picture, size)
            taken.append((time.perf_counter() - begun) * 1000)
            shared = overlaps(one.boxes, boxes) > _MATCH
            hits += int(shared.any(axis=1).sum())
            faces += len(one.boxes)
            wrong += int((~shared.any(axis=0)).sum())
        recall[size] = hits / max(faces, 1)
        times[size] = float(np.median(taken))
        pictures += len(some)
    return Row(name, recall, 10 * wrong / pictures, times)


def finders(config: Config) -> dict[str, Find]:
    """By their names: the stage's detector, what searches for small faces, and the service."""
    (main,), small = config.chosen_models("Detection"), config.small_faces_model()
    found = {main.name: one_look(main)}
    if small is None:
        raise ValueError("op.Detection.small_faces has not been converted")
    for side in INPUTS:
        found[f"{small.name} at {side}"] = one_look(small, {"input_size": side})
    models = {"Detection": [main], "Landmark": config.chosen_models("Landmark")}
    found["smallest_face"] = searched(LocalPipeline(models, batch_size=1, small_faces=small))
    return found


def _table(title: str, rows: Sequence[Row], sizes: Sequence[int]) -> FittingTable:
    table = FittingTable(title).names("detector").figures(*map(str, sizes))
    table.figures("false in ten", "ms")
    for row in rows:
        slowest, fastest = max(row.ms.values()), min(row.ms.values())
        same = slowest < 1.5 * fastest or row.detector != "smallest_face"
        shown = (
            f"{np.median(list(row.ms.values())):.0f}" if same else f"{fastest:.0f} - {slowest:.0f}"
        )
        shares = (f"{row.recall[size]:.2f}" for size in sizes)
        table.add_row(row.detector, *shares, f"{row.false_boxes:.1f}", shown)
    return table


@benchmark(
    GALLERY,
    CONFIG,
    several("--sizes", type=Count(8), default=SIZES, help="Pixels of the faces."),
    click.option("--pictures", type=Count(1), default=6, help="For each size of face."),
    failures=(ValueError,),
)
def main(bench: Bench) -> None:
    """Faces of 40 pixels in 3840x2160 have to be found, and little else."""
    asked, config = bench.asked, load_config(bench.asked.config)
    found = finders(config)
    stages = ("Detection", "Landmark")
    pipeline = LocalPipeline({stage: config.chosen_models(stage) for stage in stages})
    faces = portraits(pipeline, [file for _, file in gallery_files(asked.gallery)], 40)
    most = config.limits.searched_pixels
    for title, (width, height) in PICTURES.items():
        sizes = [n for n in asked.sizes if searched_pixels(width, height, n) <= most]
        random, empty = np.random.RandomState(7), backgrounds(width, height)
        scenes = {
            size: [
                scene(empty[(number + 7 * n) % len(empty)], faces, size, random)
                for n in range(asked.pictures)
            ]
            for number, size in enumerate(sizes)
        }
        rows = [
            measure(name, find, scenes) for name, find in bench.track(list(found.items()), title)
        ]
        bench.console.print(_table(title, rows, sizes))
        bench.results[title] = [asdict(row) for row in rows]
        if title == _HELD_PICTURE and _HELD_SIZE in sizes:
            recall, wrong = rows[-1].recall[_HELD_SIZE], rows[-1].false_boxes
            words = f"smallest_face {_HELD_SIZE} in {title}"
            bench.expected[f"{words}: recall at least {_RECALL:g}"] = recall >= _RECALL
            bench.expected[f"{words}: at most {_FALSE_BOXES:g} false box in ten pictures"] = (
                wrong <= _FALSE_BOXES
            )
