"""The search benchmark: its faces are spread as it says, and it shows what it measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bench.search import search_bench as search
from bench.search.faces import FaceModel, default_effective, impostor_deviation
from bench.search.growth import Point, extended
from bench.search.show import expectations

DIM = 128


def faces_of(model: FaceModel, count: int) -> tuple[np.ndarray, np.ndarray]:
    persons = model.persons(count)
    return np.concatenate(list(model.faces(persons))), persons


def test_faces_are_spread_as_documented() -> None:
    faces, persons = faces_of(FaceModel(DIM, default_effective(DIM)), 5000)
    assert np.allclose(np.linalg.norm(faces, axis=1), 1, atol=1e-5)
    same = (persons[:, None] == persons) & ~np.eye(len(persons), dtype=bool)
    assert (faces @ faces.T)[same].mean() == pytest.approx(0.6, abs=0.03)
    assert np.bincount(persons).max() <= 9
    variances = np.linalg.eigvalsh(faces.T @ faces)
    assert variances.sum() ** 2 / (variances**2).sum() == pytest.approx(48, rel=0.1)
    assert impostor_deviation(faces, persons) == pytest.approx(48**-0.5, rel=0.1)


def test_all_dimensions_may_be_filled() -> None:
    faces, persons = faces_of(FaceModel(DIM, DIM), 3000)
    assert impostor_deviation(faces, persons) == pytest.approx(DIM**-0.5, rel=0.1)


def test_probes_are_as_near_to_their_targets_as_pictures_of_one_person() -> None:
    model = FaceModel(DIM, 48)
    faces, _ = faces_of(model, 2000)
    probes = model.probes(faces, 300)
    cosines = np.einsum("nd,nd->n", probes.vectors, faces[probes.targets])
    assert cosines.min() >= 0.499
    assert cosines.max() <= 0.701
    assert cosines.mean() == pytest.approx(0.6, abs=0.01)


def test_sizes_that_do_not_fit_are_extrapolated_and_marked() -> None:
    points = [
        Point(size, {"exact": size / 1e5}, {"exact": size / 1e4}, {"exact": size / 1e3}, True)
        for size in (10_000, 100_000)
    ]
    more = extended(points, [10_000, 100_000, 1_000_000])
    assert [point.measured for point in more] == [True, True, False]
    assert more[-1].ms["exact"] == pytest.approx(10)
    assert more[-1].mb["exact"] == pytest.approx(1000)


@pytest.mark.slow
def test_the_benchmark_measures_shows_and_plots(tmp_path: Path, capsys) -> None:
    plot, file = tmp_path / "growth.png", tmp_path / "figures.json"
    options = "--faces 12000 --probes 64 --runs 1 --seconds 0.01 --rate 1000 --growth 30000"
    search.main([*options.split(), "--plot", str(plot), "--json", str(file)])
    document = json.loads(file.read_text())
    report = document["results"]
    shown = capsys.readouterr().out
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert set(report["medians"]) == {"faiss flat", "faiss flat, fp16", "exact", "approximate"}
    assert report["recall"]["exact"] >= 0.98
    assert [point["faces"] for point in report["growth"]] == [10_000, 30_000]
    assert document["verdict"]["expected"] == expectations(report)
    for expected in expectations(report):
        assert expected.split(":")[0] in shown
