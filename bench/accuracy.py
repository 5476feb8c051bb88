"""How well the models tell people apart: ``python -m bench accuracy --gallery DIR``.

DIR holds a folder a person. The largest face of each picture gets an embedding by the code of
the service's stages; every pair of pictures is then compared (verification), and every picture
looks for its nearest neighbour among all others (identification). With ``--service`` the same
pictures also go through the running service, whose embeddings must be the same.

Several ``--recognition``, and ``--flip``, measure what the settings of the same names do. What is
chosen on pictures is told of others, too: thresholds of one half of the people at the other half.
"""

from __future__ import annotations

import base64
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console

from bench.frame import CONFIG, GALLERY, Bench, benchmark
from bench.recognition import (
    MODELS,
    RECOGNITION,
    Chosen,
    chosen_models,
    mirrored_cosines,
    relative_cost,
)
from bench.verification import (
    Accepted,
    Verification,
    accepted_at,
    accepted_crosswise,
    rank1,
    verification,
)
from client.pictures import SUFFIXES
from client.pipeline.answer import Options
from client.pipeline.http import HttpTransport
from inference.runner import Sample
from inference.scores import SAME_PERSON
from ops.errors import ServiceError
from ops.local import LocalPipeline
from ops.pictures.picture import PictureLimits, decode_picture
from vision.face import Face

LIMITS = PictureLimits(max_bytes=50_000_000, max_pixels=100_000_000)
# The largest face of a picture, however unsure the detector is of it.
MIN_SCORE = 0.3
SAME = 0.9999
# Faces that the time of an embedding and its mirror image's likeness are measured on.
SAMPLES = 32


@dataclass
class Report:
    """What one run found; service_min_cosine is None without ``--service``.

    at_score: at the score that means the same person, None where nobody has calibrated it.
    crosswise: at the threshold of the other half of the people, None where they are too few.
    cost, mirrored: of embeddings that take several runs of networks; see `bench/recognition.py`.
    """

    models: dict[str, str]
    pictures: int
    people: int
    missed: list[str]
    unreadable: list[str]
    verification: Verification | None = None
    rank1: float | None = None
    at_score: Accepted | None = None
    crosswise: Accepted | None = None
    cost: dict[str, float] = field(default_factory=dict)
    mirrored: dict[str, float] = field(default_factory=dict)
    service_min_cosine: float | None = None
    service_differs: list[str] = field(default_factory=list)


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
    face = largest_face(pipeline, decode_picture(data, LIMITS))
    return None if face is None else face.embedding


def largest_face(pipeline: LocalPipeline, picture: np.ndarray) -> Face | None:
    """With its embedding; picture: (H, W, 3) uint8 RGB."""
    faces = pipeline.analyze(picture, max_faces=1, min_score=MIN_SCORE)
    return faces[0] if faces else None


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


def measure(bench: Bench, chosen: Chosen) -> Report:
    """Run the whole gallery; raises ValueError for one that has nothing to compare."""
    pipeline, models = chosen.pipeline(), chosen.names()
    service, files = bench.asked.service, gallery_files(bench.asked.gallery)
    names = sorted({person for person, _ in files})
    report = Report(models, len(files), len(names), missed=[], unreadable=[])
    found: list[np.ndarray] = []
    people: list[int] = []
    samples: list[Sample] = []
    with ExitStack() as stack:
        transport = None
        if service is not None:
            transport = stack.enter_context(HttpTransport(service, timeout=60))
        for person, file in bench.track(files, "Embedding"):
            name = f"{person}/{file.name}"
            data = file.read_bytes()
            try:
                picture = decode_picture(data, LIMITS)
            except ServiceError:
                report.unreadable.append(name)
                continue
            face = largest_face(pipeline, picture)
            embedding = None if face is None else face.embedding
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
            if len(found) * SAMPLES > len(samples) * len(files):  # spread over the whole gallery
                samples.append((picture, face))
    embeddings, labels = np.array(found), np.array(people)
    report.verification = verification(embeddings, labels)
    report.rank1 = rank1(embeddings, labels)
    report.crosswise = accepted_crosswise(embeddings, labels)
    recogniser = chosen.recogniser()
    if recogniser is not None:
        report.at_score = accepted_at(recogniser.scores.threshold, embeddings, labels)
    if not chosen.is_plain:
        report.cost = relative_cost(chosen, samples)
    if chosen.op.flip:
        report.mirrored = mirrored_cosines(chosen.directories[RECOGNITION], samples)
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
    for accepted, words in (
        (report.at_score, f"At the score of {SAME_PERSON:g}"),
        (report.crosswise, "Half the people at the other half's threshold"),
    ):
        if accepted is not None:
            console.print(f"{words}: TAR {accepted.tar:.3f}, FAR {accepted.far:.1e}")
    for count, times in report.cost.items():
        console.print(f"Time of {count} at a time, to the first network's alone: {times:.2f}")
    for name, cosine in report.mirrored.items():
        console.print(f"Cosine of a face and its mirror image, {name}: {cosine:.3f}")
    if report.service_min_cosine is not None:
        verdict = "the same" if report.service_min_cosine >= SAME else "NOT the same"
        console.print(
            f"Service against library: {verdict}, minimum cosine {report.service_min_cosine:.6f}"
            + "".join(f"\n  differs: {name}" for name in report.service_differs)
        )


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
    report = measure(bench, chosen_models(bench.asked))
    show(report, bench.console)
    bench.results = document(report)
    if bench.asked.service:
        bench.expected["the service's embeddings are the same"] = not report.service_differs
