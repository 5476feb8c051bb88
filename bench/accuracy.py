"""How well the models tell people apart: ``python -m bench accuracy --gallery DIR``.

DIR holds a folder a person. The largest face of each picture gets an embedding by the code of
the service's stages; every pair of pictures is then compared (verification), and every picture
looks for its nearest neighbour among all others (identification). With ``--service`` the same
pictures also go through the running service, whose embeddings must be the same.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from bench.frame import CONFIG, GALLERY, Bench, benchmark
from client.pictures import SUFFIXES
from client.pipeline.answer import Options
from client.pipeline.http import HttpTransport
from ops.errors import ServiceError
from ops.local import LocalPipeline
from ops.pictures.picture import PictureLimits, decode_picture
from settings.config import load_config
from terminal.options import PATH

LIMITS = PictureLimits(max_bytes=50_000_000, max_pixels=100_000_000)
# The largest face of a picture, however unsure the detector is of it.
MIN_SCORE = 0.3
SAME = 0.9999
# Arguments of the command, and the stages of the configuration whose models they replace.
STAGE_OF = {"detection": "Detection", "landmark": "Landmark", "recognition": "ArcFace"}


@dataclass(frozen=True)
class Verification:
    """All pairs compared.

    tar: share of same-person pairs accepted, by the false-accept rate that the threshold allows;
    threshold: cosine at a false-accept rate of 1e-3; same_mean, different_mean: mean cosines.
    """

    same_pairs: int
    different_pairs: int
    tar: dict[float, float]
    threshold: float
    same_mean: float
    different_mean: float


@dataclass
class Report:
    """What one run found; service_min_cosine is None without ``--service``."""

    models: dict[str, str]
    pictures: int
    people: int
    missed: list[str]
    unreadable: list[str]
    verification: Verification | None = None
    rank1: float | None = None
    service_min_cosine: float | None = None
    service_differs: list[str] = field(default_factory=list)


def threshold_at(different: np.ndarray, rate: float) -> float:
    """The lowest threshold at which at most ``rate`` of the pairs are falsely accepted.

    different: (N,) cosines of pairs of different people; a pair is accepted at a cosine above
    the threshold.
    """
    allowed = int(np.floor(rate * len(different)))
    if allowed >= len(different):
        return -1.0
    return float(np.partition(different, -allowed - 1)[-allowed - 1])


def verification(
    embeddings: np.ndarray, people: np.ndarray, rates: Sequence[float] = (1e-2, 1e-3)
) -> Verification:
    """Compare all pairs.

    embeddings: (N, D) of unit length; people: (N,) integer labels. Raises ValueError where there
    is no pair of one person or none of two people.
    """
    first, second = np.triu_indices(len(people), k=1)
    cosines = (embeddings @ embeddings.T)[first, second]
    equal = people[first] == people[second]
    same, different = cosines[equal], cosines[~equal]
    if not len(same) or not len(different):
        raise ValueError("accuracy needs two people, and two pictures of one of them")
    return Verification(
        same_pairs=len(same),
        different_pairs=len(different),
        tar={rate: float(np.mean(same > threshold_at(different, rate))) for rate in rates},
        threshold=threshold_at(different, 1e-3),
        same_mean=float(same.mean()),
        different_mean=float(different.mean()),
    )


def rank1(embeddings: np.ndarray, people: np.ndarray) -> float:
    """Share of the pictures whose nearest other picture shows the same person.

    Arguments as for :func:`verification`. A person's only picture can't be found and doesn't
    count; NaN where nobody has two.
    """
    cosines = embeddings @ embeddings.T
    np.fill_diagonal(cosines, -np.inf)
    hits = people[cosines.argmax(axis=1)] == people
    _, label, count = np.unique(people, return_inverse=True, return_counts=True)
    findable = count[label] > 1
    return float(hits[findable].mean()) if findable.any() else float("nan")


def gallery_files(gallery: Path) -> list[tuple[str, Path]]:
    """(person, file) of every picture, sorted. Raises ValueError for a gallery without one."""
    files = [
        (folder.name, file)
        for folder in sorted(path for path in gallery.iterdir() if path.is_dir())
        for file in sorted(folder.iterdir())
        if file.suffix.lower() in SUFFIXES
    ]
    if not files:
        raise ValueError(
            f"{gallery}: no folder with pictures ({', '.join(sorted(SUFFIXES))}) in it"
        )
    return files


def library_embedding(pipeline: LocalPipeline, data: bytes) -> np.ndarray | None:
    """Embedding (D,) of the largest face, None where there is no face.

    Raises ServiceError for what isn't a picture.
    """
    faces = pipeline.analyze(decode_picture(data, LIMITS), max_faces=1, min_score=MIN_SCORE)
    return faces[0].embedding if faces else None


def service_embedding(transport: HttpTransport, data: bytes) -> np.ndarray | None:
    """The same from the running service. Raises ClientError where it does not take the picture."""
    options = Options(max_faces=1, min_score=MIN_SCORE, embedding_format="list")
    image = transport.predict(base64.b64encode(data).decode("ascii"), options).image
    if image.error is not None:
        raise image.error
    return image.faces[0].embedding if image.faces else None


def agreement(ours: np.ndarray | None, theirs: np.ndarray | None) -> float:
    """Cosine of two embeddings; 1 where both found no face, -1 where only one did."""
    if ours is None or theirs is None:
        return 1.0 if ours is theirs else -1.0
    return float(ours @ theirs)


def measure(bench: Bench, pipeline: LocalPipeline, models: dict[str, str]) -> Report:
    """Run the whole gallery; raises ValueError for one that has nothing to compare."""
    service, files = bench.asked.service, gallery_files(bench.asked.gallery)
    names = sorted({person for person, _ in files})
    report = Report(models, len(files), len(names), missed=[], unreadable=[])
    found: list[np.ndarray] = []
    people: list[int] = []
    with ExitStack() as stack:
        transport = None
        if service is not None:
            transport = stack.enter_context(HttpTransport(service, timeout=60))
        for person, file in bench.track(files, "Embedding"):
            name = f"{person}/{file.name}"
            data = file.read_bytes()
            try:
                embedding = library_embedding(pipeline, data)
            except ServiceError:
                report.unreadable.append(name)
                continue
            if transport is not None:
                cosine = agreement(embedding, service_embedding(transport, data))
                least = report.service_min_cosine
                report.service_min_cosine = cosine if least is None else min(cosine, least)
                if cosine < SAME:
                    report.service_differs.append(name)
            if embedding is None:
                report.missed.append(name)
                continue
            found.append(embedding)
            people.append(names.index(person))
    embeddings, labels = np.array(found), np.array(people)
    report.verification = verification(embeddings, labels)
    report.rank1 = rank1(embeddings, labels)
    return report


def show(report: Report, console: Console) -> None:
    """Print the report, a line a figure."""
    console.print("Models: " + ", ".join(f"{k} {v}" for k, v in report.models.items()))
    console.print(f"{report.pictures} pictures of {report.people} people")
    for title, names in (
        ("Faces missed", report.missed),
        ("Unreadable", report.unreadable),
    ):
        if names or title == "Faces missed":
            console.print(f"{title}: {len(names)} {', '.join(names)}".rstrip())
    found = report.verification
    if found is not None:
        for rate, share in found.tar.items():
            console.print(f"TAR at FAR {rate:.0e}: {share:.3f}")
        console.print(f"Rank-1: {report.rank1:.3f}")
        console.print(
            f"Threshold at FAR 1e-03: {found.threshold:.3f}; mean cosine of the same person"
            f" {found.same_mean:.3f}, of different people {found.different_mean:.3f}"
            f" ({found.same_pairs} and {found.different_pairs} pairs)"
        )
    if report.service_min_cosine is not None:
        verdict = "the same" if report.service_min_cosine >= SAME else "NOT the same"
        console.print(
            f"Service against library: {verdict}, minimum cosine {report.service_min_cosine:.6f}"
            + "".join(f"\n  differs: {name}" for name in report.service_differs)
        )


MODELS = tuple(
    click.option(
        f"--{keyword}", type=PATH, metavar="MODEL", help=f"Directory, instead of {stage}'s."
    )
    for keyword, stage in STAGE_OF.items()
)


def chosen_models(asked: Any) -> dict[str, Path]:
    """Model directories by argument: the configuration's where no argument says else.

    asked: has `MODELS`. Raises ConfigError where the configuration can't be used or its model isn't
    converted.
    """
    config = load_config(asked.config)
    chosen: dict[str, Path] = {}
    for keyword, stage in STAGE_OF.items():
        chosen[keyword] = getattr(asked, keyword) or config.chosen_models(stage)[0]
    return chosen


def document(report: Report) -> dict[str, Any]:
    """The report as JSON-ready values; rates become keys such as "0.001"."""
    return asdict(report)


@benchmark(
    GALLERY,
    CONFIG,
    *MODELS,
    click.option("--service", metavar="URL", help="http://127.0.0.1:9998/ArcFace/prediction"),
    failures=(ValueError,),
)
def main(bench: Bench) -> None:
    """With a service, its embeddings have to be the same."""
    directories = chosen_models(bench.asked)
    pipeline = LocalPipeline({stage: [directories[keyword]] for keyword, stage in STAGE_OF.items()})
    report = measure(bench, pipeline, {keyword: path.name for keyword, path in directories.items()})
    show(report, bench.console)
    bench.results = document(report)
    if bench.asked.service:
        bench.expected["the service's embeddings are the same"] = not report.service_differs
