"""Takes a published Paddle inference model, its batch dimension made dynamic where it is not."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convert.errors import ConvertError
from convert.paddle.rewrites import attach_biases, free_batch
from convert.serving import MODEL_FILE, PARAMS_FILE
from convert.translation import Translation, Variable

# The names under which Paddle's tools have published a model and its parameters.
FILE_PAIRS = (
    ("inference.pdmodel", "inference.pdiparams"),
    ("model.pdmodel", "model.pdiparams"),
    ("__model__", "__params__"),
)


def translate(
    source_dir: Path,
    out_dir: Path,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    input_size: tuple[int, int] | None = None,
    fixed_batch: bool = False,
) -> Translation:
    """Bring the export below ``source_dir`` into ``out_dir`` and tell its variables.

    inputs, outputs: the roles of the feed and fetch variables. A feed variable that carries the
        name of a role gets it; else roles are given in the program's order.
    input_size: height and width that a picture's open dimensions are declared with.
    fixed_batch: leave a batch dimension of 1 as it is.

    Raises ConvertError where files are missing, not readable by the installed Paddle, or have
    another number of variables than roles.
    """
    model_file, params_file = find_pair(source_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(params_file, out_dir / PARAMS_FILE)
    with _static_mode():
        program = _read_program(model_file)
        feeds = [variable.name for variable in _variables(program, "feed")]
        changed = attach_biases(program)
        if not fixed_batch:
            changed = free_batch(program, feeds) or changed
        if changed:
            (out_dir / MODEL_FILE).write_bytes(program.desc.serialize_to_string())
        else:
            shutil.copyfile(model_file, out_dir / MODEL_FILE)
        return Translation(
            inputs=_sized(_with_roles(_variables(program, "feed"), inputs), input_size),
            outputs=_with_roles(_variables(program, "fetch"), outputs),
        )


def find_pair(source_dir: Path) -> tuple[Path, Path]:
    """The model and the parameter file at or below ``source_dir``; raises ConvertError."""
    for model_name, params_name in FILE_PAIRS:
        for model_file in sorted(source_dir.rglob(model_name)):
            params_file = model_file.with_name(params_name)
            if model_file.is_file() and params_file.is_file():
                return model_file, params_file
    expected = " or ".join(" and ".join(pair) for pair in FILE_PAIRS)
    raise ConvertError(f"{source_dir} holds no Paddle export: expected {expected}")


@contextlib.contextmanager
def _static_mode() -> Iterator[None]:
    import paddle

    was_dynamic = paddle.in_dynamic_mode()
    paddle.enable_static()
    try:
        yield
    finally:
        if was_dynamic:
            paddle.disable_static()


def _read_program(model_file: Path) -> Any:
    import paddle

    try:
        return paddle.static.deserialize_program(model_file.read_bytes())
    except Exception as error:  # Paddle raises whatever its protobuf parser or C++ side has
        raise ConvertError(
            f"{model_file} is no model that Paddle {paddle.__version__} reads"
        ) from error


def _variables(program: Any, kind: str) -> list[Variable]:
    """The program's feed or fetch variables in order; the alias is still the name."""
    from paddle.base.data_feeder import convert_dtype

    block = program.global_block()
    operators = sorted(
        (op for op in block.ops if op.type == kind), key=lambda operator: operator.attr("col")
    )
    found = []
    for operator in operators:
        name = operator.output("Out")[0] if kind == "feed" else operator.input("X")[0]
        var = block.var(name)
        found.append(Variable(name, name, convert_dtype(var.dtype), tuple(var.shape)))
    return found


def _sized(variables: list[Variable], size: tuple[int, int] | None) -> list[Variable]:
    """The variables with ``size`` in place of a picture's open height and width."""
    if size is None:
        return variables
    return [
        replace(v, shape=(*v.shape[:2], *size)) if v.shape[2:] == (-1, -1) else v for v in variables
    ]


def _with_roles(variables: list[Variable], roles: Sequence[str]) -> list[Variable]:
    if len(variables) != len(roles):
        names = ", ".join(variable.name for variable in variables)
        raise ConvertError(f"the export has the variables {names}; expected {', '.join(roles)}")
    if {variable.name for variable in variables} == set(roles):
        return variables
    return [replace(variable, alias=role) for variable, role in zip(variables, roles)]
