"""``python -m convert.engines.ways_job DIR WAY...``: verifies ways to run the model in DIR.

A way is ``ENGINE:PRECISION``, with ``:imitated`` where the processor has no such precision. After
each a line of JSON with what was found is printed, so that whoever started this knows what it was
at when it crashes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from convert.engines.agreement import check_way
from convert.engines.openvino_form import write_openvino_form
from convert.errors import ConvertError, VerificationError
from convert.subject import Subject
from inference.engines.base import OPENVINO, EngineError, Way
from inference.manifest import Manifest, ManifestError, Verified


def main(model_dir: Path, names: Sequence[str]) -> int:
    """The exit status, 0."""
    reference = Subject(model_dir)
    for name in names:
        engine, precision, *imitated = name.split(":")
        way, problem = Way(engine, precision), None
        try:
            subject = _subject(model_dir, way, reference.manifest)
            found = check_way(reference, subject, bool(imitated))
        except (ConvertError, EngineError, ManifestError) as error:
            problem = str(error).removeprefix(f"{reference.manifest.name} is refused: ")
        except Exception as error:  # noqa: BLE001 - engines raise what they like, by the build
            problem = f"{type(error).__name__} {error}"
        if problem is not None:
            words = " ".join(problem.split())[:300]
            found = Verified(engine, precision, refused=words, imitated=bool(imitated))
        print(json.dumps(asdict(found)), flush=True)
    return 0


def _subject(model_dir: Path, way: Way, manifest: Manifest) -> Subject:
    if way.engine == OPENVINO and not manifest.openvino_path.is_file():
        write_openvino_form(manifest)
    subject = Subject(model_dir, way)
    if subject.manifest.outputs != manifest.outputs:
        raise VerificationError("its outputs are not those of the manifest")
    return subject


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
