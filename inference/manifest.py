"""The manifest of a converted model: ``models/NAME/model.yml``, read by pydantic.

``python -m convert`` writes it, the stages and the adapters read it. Nothing else knows how the
model directory is laid out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic.dataclasses import dataclass
from pydantic_core import PydanticCustomError

from settings import yaml_file
from settings.stages import TASKS

FORMAT = 1
OPENVINO_DIR = "openvino"
DTYPES = ("float32", "float64", "int32", "int64", "uint8")

Option = TypeVar("Option", bool, int, float, str)


class ManifestError(ValueError):
    """A manifest that can't be used; the message names the file and the key."""


def _one_of(*allowed: str | int) -> AfterValidator:
    def check(value: str | int) -> str | int:
        if value not in allowed:
            words = {"words": ", ".join(map(str, allowed))}
            raise PydanticCustomError("one_of", "should be one of {words}", words)
        return value

    return AfterValidator(check)


def _size(value: int) -> int:
    if value < 1 and value != -1:
        raise PydanticCustomError("size", "should be a size, -1 for a free one")
    return value


# What a model is for.
Task = Annotated[StrictStr, _one_of(*TASKS)]
_Size = Annotated[StrictInt, AfterValidator(_size)]
_Value = TypeVar("_Value")
# A key without anything is as good as none.
_Mapping = Annotated[
    Mapping[str, _Value], BeforeValidator(lambda given: {} if given is None else given)
]
_PROBLEMS = {
    "missing": "is missing",
    "too_short": "is empty",
    "dataclass_type": "should be a mapping",
    "dict_type": "should be a mapping",
    "tuple_type": "should be a list",
}


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    name: Paddle's variable; alias: the role that the adapter asks for;
    shape: -1 where the size is free, so ``shape[0]`` is -1 for a model that takes batches.
    """

    name: StrictStr
    alias: StrictStr
    dtype: Annotated[StrictStr, _one_of(*DTYPES)]
    shape: tuple[_Size, ...]


@dataclass(frozen=True)
class Calibration:
    """Cosines of a recogniser: two measured on pairs of different people, one on single faces.

    impostor_mean: the pairs' mean. threshold: what one pair in a thousand lies above. mirrored: of
    a face and its mirror image in the mean, None where nobody has measured it.
    """

    impostor_mean: Annotated[StrictFloat, Field(ge=-1)]
    threshold: Annotated[StrictFloat, Field(lt=1)]
    mirrored: Annotated[StrictFloat, Field(gt=0, le=1)] | None = None

    @field_validator("threshold")
    @classmethod
    def _above_mean(cls, threshold: float, info: ValidationInfo) -> float:
        if threshold <= info.data.get("impostor_mean", -1):
            raise PydanticCustomError("order", "should be between impostor_mean and 1")
        return threshold


@dataclass(frozen=True)
class Embedding:
    """What a recogniser makes; dim: numbers a face."""

    dim: StrictInt


@dataclass(frozen=True)
class Verified:
    """What `convert` found of one way to run the model on a processor.

    difference: the largest of an output to Paddle's in fp32, as a share of its largest value.
    cosine: of embeddings to Paddle's in fp32, the smallest; None for a model that makes none.
    refused: why it may not be run that way; empty where it may.
    imitated: on a processor without that precision, by an engine that rounds as if it had it.
    """

    engine: Annotated[StrictStr, _one_of("paddle", "openvino")]
    precision: Annotated[StrictStr, _one_of("fp32", "bf16")]
    difference: StrictFloat | None = None
    cosine: StrictFloat | None = None
    refused: StrictStr = ""
    imitated: bool = False


def _measured(embedding: Any) -> Any:
    return embedding if isinstance(embedding, dict) and "threshold" in embedding else None


@dataclass(frozen=True)
class Manifest:
    """What the service knows about a model. Inputs stand in feed order.

    max_batch: samples a run may hold, 0 for no limit.
    embedding: None where the model makes none.
    calibration: of its scores, None where nobody has measured it.
    commercial: whether the licence allows commercial use; None in manifests of earlier versions.
    options: settings of the model's family, read with :meth:`option`.
    files: SHA-256 of each file in ``serving_server/``, in hexadecimal.
    openvino: the same of OpenVINO's form, in ``openvino/``; empty where there is none.
    ways: other ways to run it than Paddle in fp32, verified or refused.
    """

    format: Annotated[StrictInt, _one_of(FORMAT)]
    directory: Path
    name: StrictStr
    task: Task
    family: StrictStr
    licence: StrictStr
    source: StrictStr
    converter: StrictStr
    max_batch: Annotated[StrictInt, Field(ge=0)]
    inputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]
    outputs: Annotated[tuple[TensorSpec, ...], Field(min_length=1)]
    embedding: Embedding | None = None
    calibration: Annotated[
        Calibration | None, BeforeValidator(_measured), Field(validation_alias="embedding")
    ] = None
    commercial: StrictBool | None = None
    options: _Mapping[Any] = Field(default_factory=dict)
    files: _Mapping[StrictStr] = Field(default_factory=dict)
    openvino: _Mapping[StrictStr] = Field(default_factory=dict)
    ways: tuple[Verified, ...] = ()

    @classmethod
    def load(cls, model_dir: str | Path) -> Manifest:
        """Read ``model_dir/model.yml`` and check that the model's files are there.

        Raises ManifestError, naming the file and the key, for a missing or unreadable manifest,
        a missing or wrong value, or a missing file of the model.
        """
        directory = Path(model_dir)
        manifest = parse(read_yaml(directory / "model.yml"), directory)
        for path in manifest.paths():
            if not path.is_file():
                raise ManifestError(f"{directory / 'model.yml'}: files: {path} is missing")
        return manifest

    @property
    def embedding_dim(self) -> int | None:
        """Length of the embedding, None where the model makes none."""
        return self.embedding.dim if self.embedding is not None else None

    @property
    def path(self) -> Path:
        """The manifest file itself, for messages."""
        return self.directory / "model.yml"

    @property
    def server_dir(self) -> Path:
        """Directory of the inference model and of Paddle Serving's server configuration."""
        return self.directory / "serving_server"

    @property
    def program_path(self) -> Path:
        """The network, ``inference.pdmodel``."""
        return self.server_dir / "inference.pdmodel"

    @property
    def parameters_path(self) -> Path:
        """The weights, ``inference.pdiparams``."""
        return self.server_dir / "inference.pdiparams"

    @property
    def openvino_path(self) -> Path:
        """The network in OpenVINO's form, ``model.xml``; its weights lie beside it."""
        return self.directory / OPENVINO_DIR / "model.xml"

    def verified(self, engine: str, precision: str) -> Verified | None:
        """What was found of a way to run it; None where nobody has looked."""
        found = (way for way in self.ways if (way.engine, way.precision) == (engine, precision))
        return next(found, None)

    def paths(self) -> list[Path]:
        """Every file that must be there: the network, the weights, and all that is listed."""
        listed = [self.server_dir / name for name in self.files]
        return sorted({self.program_path, self.parameters_path, *listed})

    def check_files(self) -> None:
        """Compare the files with their SHA-256; raise ManifestError for the first that differs.

        Reads every byte: some 20 ms for 30 MB.
        """
        self._check("files", self.server_dir, self.files)

    def check_openvino(self) -> None:
        """The same for OpenVINO's form."""
        self._check("openvino", self.directory / OPENVINO_DIR, self.openvino)

    def _check(self, key: str, folder: Path, digests: Mapping[str, str]) -> None:
        for name, expected in digests.items():
            try:
                actual = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            except OSError as error:
                raise ManifestError(f"{folder / name}: {error.strerror}") from None
            if actual != expected:
                raise ManifestError(
                    f"{self.path}: {key}.{name}: SHA-256 is {actual}, the manifest says {expected};"
                    f" convert the model again"
                )

    def input(self, alias: str) -> TensorSpec:
        """The input with this alias; ManifestError where there is none."""
        return self._by_alias("inputs", self.inputs, alias)

    def output(self, alias: str) -> TensorSpec:
        """The output with this alias; ManifestError where there is none."""
        return self._by_alias("outputs", self.outputs, alias)

    def option(self, key: str, default: Option) -> Option:
        """``options.key``, or ``default`` where it isn't set; same type as the default."""
        value = self.options.get(key, default)
        wanted = type(default)
        if wanted is float and type(value) is int:
            value = float(value)
        if type(value) is not wanted:
            raise ManifestError(
                f"{self.path}: options.{key}: {value!r} should be of type {wanted.__name__}"
            )
        return value

    def _by_alias(self, key: str, specs: tuple[TensorSpec, ...], alias: str) -> TensorSpec:
        for spec in specs:
            if spec.alias == alias:
                return spec
        known = ", ".join(spec.alias for spec in specs)
        raise ManifestError(f"{self.path}: {key}: no alias {alias!r}; there are: {known}")


def read_yaml(path: Path) -> Mapping[str, Any]:
    """The mapping in a manifest file; ManifestError where it can't be read or is no mapping."""
    try:
        document = yaml_file.read_yaml(path)
    except FileNotFoundError:
        raise ManifestError(
            f"{path}: no such file; make it with: .venv/bin/python -m convert {path.parent.name}"
        ) from None
    except (OSError, yaml_file.YamlError) as error:
        raise ManifestError(f"{path}: can't be read: {error}") from error
    if not isinstance(document, dict):
        raise ManifestError(f"{path}: should hold a mapping of keys, holds {document!r:.60}")
    return document


def parse(document: Mapping[str, Any], directory: Path) -> Manifest:
    """The manifest that a mapping describes; ManifestError names the key that is wrong."""
    try:
        return TypeAdapter(Manifest).validate_python({**document, "directory": directory})
    except ValidationError as error:
        raise ManifestError(f"{directory / 'model.yml'}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError) -> str:
    """Such as ``outputs[0].dtype: 'f4' should be one of float32, ...``."""
    problem = error.errors(include_url=False)[0]
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
    said = _PROBLEMS.get(problem["type"]) or problem["msg"].removeprefix("Input ")
    value = "" if said.startswith("is ") else f"{problem['input']!r:.200} "
    return f"{''.join(parts).removeprefix('.')}: {value}{said}"
