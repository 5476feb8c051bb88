"""Samples are run in batches of few sizes, none of them alone where others could go with it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from inference.runner import Runner, Timing, part_of, run_sizes
from tests.support.models.adapter_cases import astronaut_face
from tests.support.models.recognisers import OneByOne, recogniser_manifest


@pytest.mark.parametrize(
    ("most", "sizes"),
    [
        (1, (1,)),
        (2, (2, 1)),
        (4, (4, 3, 2, 1)),
        (8, (8, 6, 4, 3, 2, 1)),
        (10, (10, 8, 6, 4, 3, 2, 1)),
        (16, (16, 12, 8, 6, 4, 3, 2, 1)),
    ],
)
def test_few_sizes_are_run_and_the_largest_is_what_is_allowed(most, sizes):
    assert run_sizes(most) == sizes


@pytest.mark.parametrize("most", [4, 8, 10, 33])
def test_any_number_is_made_up_of_these_sizes_and_nobody_is_left_alone(most):
    sizes = run_sizes(most)
    for count in range(2, most + 1):
        parts = []
        while sum(parts) < count:
            parts.append(part_of(count - sum(parts), sizes))
        assert sum(parts) == count
        assert set(parts) <= set(sizes) - {1}


@pytest.mark.parametrize("count", [1, 5, 7, 8, 12])
def test_results_come_in_the_order_of_the_samples_whatever_the_batches(tmp_path: Path, count: int):
    model = OneByOne(recogniser_manifest(tmp_path, "made"))
    runner = Runner(model, 8)
    face = astronaut_face()
    random = np.random.RandomState(3)
    samples = [(random.randint(0, 256, (64, 64, 3), np.uint8), face) for _ in range(count)]
    together = np.array(runner.run(samples, Timing()))
    assert set(model.runs) <= set(run_sizes(8))
    alone = np.array([runner.run([sample], Timing())[0] for sample in samples])
    assert np.array_equal(together, alone)


def test_what_is_run_later_has_been_run_while_warming_up(tmp_path: Path):
    model = OneByOne(recogniser_manifest(tmp_path, "made"))
    Runner(model, 8).warm_up()
    assert model.runs == list(run_sizes(8))
