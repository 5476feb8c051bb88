"""Checks that a converted model does its work before it takes a place in ``models/``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from convert import task_checks
from convert.apart import run_apart
from convert.errors import VerificationError
from convert.subject import Subject
from inference.manifest import ManifestError
from vision.face import Face

# A batch of another size may take another kernel: share of an output's largest value.
BATCH_TOLERANCE = 1e-3
TIMEOUT = 300  # seconds; the largest known model takes ten
REFUSED = 3  # exit status of `python -m convert.verify DIR` with the reason on standard output


def verify_apart(model_dir: Path) -> None:
    """:func:`verify` in a process of its own.

    A model that makes one of Paddle's kernels crash is refused like any other that fails, and
    does not take the conversion down with it.

    Raises VerificationError that says what is wrong.
    """
    ended = run_apart("convert.verify", [str(model_dir.resolve())], TIMEOUT)
    if ended.status == REFUSED:
        raise VerificationError(ended.output)
    if ended.problem:
        raise VerificationError(f"{model_dir.name} is refused: {ended.problem}")


def verify(model_dir: Path) -> None:
    """Run the model in ``model_dir`` on the sample picture and check all that it must hold.

    Outputs are finite, of the declared shape, the same twice, and a sample's do not depend on
    its batch; then the check of the model's task, where :mod:`convert.task_checks` has one.

    Raises VerificationError that says what is wrong.
    """
    subject = Subject(model_dir)
    picture, face = task_checks.sample_face()
    check_outputs(subject, picture, face)
    check = task_checks.CHECKS.get(subject.manifest.task)
    if check is not None:
        check(subject, picture, face)


def check_outputs(
    subject: Subject, picture: np.ndarray, face: Face, tolerance: float = BATCH_TOLERANCE
) -> None:
    """Finite, of the declared shape, deterministic, independent of the batch but for `tolerance`.

    tolerance: share of an output's largest value.
    """
    samples = [(picture, face), task_checks.mirrored(picture, face), (picture // 2, face)]
    feeds, _ = subject.feeds(samples[:1])
    single = subject.predictor.run(feeds)
    for output in subject.manifest.outputs:
        values = single[output.alias]
        if not np.isfinite(values).all():
            subject.fail(f"{output.alias} is not finite")
        if not fits(values.shape, output.shape) or values.dtype != output.dtype:
            subject.fail(
                f"{output.alias} is {values.dtype} {list(values.shape)}, "
                f"not {output.dtype} {list(output.shape)} as declared"
            )
    again = subject.predictor.run(feeds)
    for alias, values in single.items():
        if not np.array_equal(values, again[alias]):
            subject.fail(f"{alias} differs from run to run")
    if subject.manifest.max_batch != 1:
        check_batch(subject, samples, single, tolerance)


def check_batch(
    subject: Subject,
    samples: list[tuple[np.ndarray, Face]],
    first: Mapping[str, np.ndarray],
    tolerance: float,
) -> None:
    """Each row of a batch is what its sample gives alone; ``first`` is the first one's."""
    alone = [first] + [subject.predictor.run(subject.feeds([s])[0]) for s in samples[1:]]
    together = subject.predictor.run(subject.feeds(samples)[0])
    for alias, rows in together.items():
        if len(rows) != len(samples):
            subject.fail(f"{alias} has {len(rows)} rows for {len(samples)} samples")
        for row, single in zip(rows, alone):
            limit = tolerance * max(1e-3, float(np.abs(single[alias]).max()))
            difference = float(np.abs(row - single[alias][0]).max())
            if difference > limit:
                subject.fail(f"{alias} changes by {difference:.1e} in a batch of {len(samples)}")


def fits(shape: tuple[int, ...], declared: tuple[int, ...]) -> bool:
    """Whether an array's shape is as declared, -1 standing for any size."""
    return len(shape) == len(declared) and all(
        wanted in (-1, size) for size, wanted in zip(shape, declared)
    )


def main(model_dir: str) -> int:
    """``python -m convert.verify DIR``: what :func:`verify_apart` starts; the exit status."""
    try:
        verify(Path(model_dir))
    except (VerificationError, ManifestError) as error:
        print(error)
        return REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
