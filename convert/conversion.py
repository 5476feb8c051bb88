"""One model from its source to ``models/NAME``: fetch, translate, write, verify, put in place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from convert.catalog import Entry
from convert.engines.completing import complete
from convert.errors import ConvertError
from convert.model_directory import put_in_place, work_directory, write_manifest
from convert.network.graph import GraphError, UnknownOperatorError
from convert.onnx import graph_model as onnx_model
from convert.onnx import x2paddle_translation
from convert.paddle import published_model
from convert.serving import write_serving_format
from convert.sources.fetch import Fetcher, fetch_local
from convert.terminal import CONSOLE
from convert.tfjs import face_resnet, graph_model
from convert.translation import Translation
from convert.verify import verify_apart

Verify = Callable[[Path], None]


def convert(
    entry: Entry,
    models_dir: Path,
    fetcher: Fetcher,
    *,
    source: Path | None = None,
    check: Verify = verify_apart,
    add_engines: Verify = complete,
) -> None:
    """Make ``models_dir/NAME`` anew; the caller holds the lock on ``models_dir``.

    source: a local tar, directory or file instead of the catalog's sources.
    check: raises VerificationError for a model that is not to be used.
    add_engines: adds what other engines than Paddle need.

    Raises ConvertError; what was in ``models_dir/NAME`` before then still is.
    """
    with work_directory(models_dir, entry.name) as work_dir:
        if source is None:
            provenance = fetcher.fetch(entry, work_dir / "source")
        else:
            provenance = fetch_local(entry, source, work_dir / "source")
        with CONSOLE.status(f"{entry.name}: translating"):
            translation = translate(entry, work_dir / "source", work_dir / "paddle")
            # The directory has the model's name: checks name the model by it.
            model_dir = work_dir / entry.name
            write_serving_format(translation, work_dir / "paddle", model_dir)
            write_manifest(model_dir, entry, translation, provenance, converter_name())
        with CONSOLE.status(f"{entry.name}: verifying"):
            check(model_dir)
        with CONSOLE.status(f"{entry.name}: trying other engines and precisions"):
            add_engines(model_dir)
        put_in_place(model_dir, models_dir / entry.name)


def translate(entry: Entry, source_dir: Path, out_dir: Path) -> Translation:
    """Write the model whose files are below ``source_dir`` as Paddle model to ``out_dir``."""
    try:
        if entry.format == "tfjs":
            wanted = list(entry.outputs) or None
            return graph_model.translate(only_file(source_dir, ".json"), out_dir, outputs=wanted)
        if entry.format == "face_resnet":
            return face_resnet.translate(source_dir, out_dir)
        if entry.format == "onnx":
            return translate_onnx(entry, only_file(source_dir, ".onnx"), out_dir)
    except GraphError as error:
        raise ConvertError(f"{entry.name} cannot be translated: {error}") from error
    return published_model.translate(
        source_dir,
        out_dir,
        inputs=entry.inputs,
        outputs=entry.outputs,
        input_size=entry.fixed_size,
        fixed_batch=entry.max_batch == 1,
    )


def translate_onnx(entry: Entry, onnx_file: Path, out_dir: Path) -> Translation:
    """The same for an ONNX file: by the project's own reader, else by X2Paddle."""
    inputs, outputs, size = entry.inputs, entry.outputs, entry.input_size
    try:
        return onnx_model.translate(
            onnx_file, out_dir, inputs=inputs, outputs=outputs, input_size=size
        )
    except UnknownOperatorError as error:
        if size == "any":
            raise
        CONSOLE.print(f"{entry.name}: X2Paddle translates it: {error}")
        return x2paddle_translation.translate(
            onnx_file, out_dir, inputs=inputs, outputs=outputs, input_size=size
        )


def only_file(source_dir: Path, suffix: str) -> Path:
    """The one file with ``suffix`` below ``source_dir``; raises ConvertError otherwise."""
    found = sorted(source_dir.rglob(f"*{suffix}"))
    if len(found) != 1:
        raise ConvertError(f"expected one {suffix} file among the model's files, got {len(found)}")
    return found[0]


def converter_name() -> str:
    """The Paddle that writes and runs the model, for its manifest."""
    import paddle

    return f"paddle {paddle.__version__}"
