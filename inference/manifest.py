"""The manifest of a converted model: ``models/NAME/model.yml`` as frozen dataclasses.

``python -m convert`` writes it, the stages and the adapters read it. Nothing else knows how the
model directory is laid out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from settings import yaml_file

FORMAT = 1
TASKS = ("detection", "landmark", "recognition", "attributes", "liveness")
DTYPES = ("float32", "float64", "int32", "int64", "uint8")

Option = TypeVar("Option", bool, int, float, str)


class ManifestError(ValueError):
    """A manifest that can't be used; the message names the file and the key."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output of a model.

    name: Paddle's variable; alias: the role that the adapter asks for;
    shape: -1 where the size is free, so ``shape[0]`` is -1 for a model that takes batches.
    """

    name: str
    alias: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Calibration:
    """Two cosines of a recogniser, measured on pairs of different people.

    impostor_mean: their mean. threshold: what one pair in a thousand lies above.
    """

    impostor_mean: float
    threshold: float


@dataclass(frozen=True)
class Manifest:
    """What the service knows about a model. Inputs stand in feed order.

    max_batch: samples a run may hold, 0 for no limit.
    embedding_dim: length of the embedding, None where the model makes none.
    calibration: of its scores, None where nobody has measured it.
    options: settings of the model's family, read with :meth:`option`.
    files: SHA-256 of each file in ``serving_server/``, in hexadecimal.
    """

    directory: Path
    name: str
    task: str
    family: str
    licence: str
    source: str
    converter: str
    max_batch: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    embedding_dim: int | None
    calibration: Calibration | None
    options: Mapping[str, Any]
    files: Mapping[str, str]

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

    def paths(self) -> list[Path]:
        """Every file that must be there: the network, the weights, and all that is listed."""
        listed = [self.server_dir / name for name in self.files]
        return sorted({self.program_path, self.parameters_path, *listed})

    def check_files(self) -> None:
        """Compare the files with their SHA-256; raise ManifestError for the first that differs.

        Reads every byte: some 20 ms for 30 MB.
        """
        for name, expected in self.files.items():
            actual = hashlib.sha256((self.server_dir / name).read_bytes()).hexdigest()
            if actual != expected:
                raise ManifestError(
                    f"{self.path}: files.{name}: SHA-256 is {actual}, the manifest says {expected};"
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
    read = _Reader(document, directory / "model.yml")
    if read.integer("format") != FORMAT:
        read.fail("format", f"{document['format']!r}, this version reads {FORMAT}")
    task = read.text("task")
    if task not in TASKS:
        read.fail("task", f"{task!r} should be one of {', '.join(TASKS)}")
    max_batch = read.integer("max_batch")
    if max_batch < 0:
        read.fail("max_batch", f"{max_batch} should be 0 (no limit) or more")
    return Manifest(
        directory=directory,
        name=read.text("name"),
        task=task,
        family=read.text("family"),
        licence=read.text("licence"),
        source=read.text("source"),
        converter=read.text("converter"),
        max_batch=max_batch,
        inputs=read.tensors("inputs"),
        outputs=read.tensors("outputs"),
        embedding_dim=read.embedding_dim(),
        calibration=read.calibration(),
        options=read.mapping("options"),
        files={str(name): str(digest) for name, digest in read.mapping("files").items()},
    )


@dataclass(frozen=True)
class _Reader:
    """Typed look-ups in a manifest's mapping, with messages that name file and key."""

    document: Mapping[str, Any]
    path: Path

    def fail(self, key: str, problem: str) -> NoReturn:
        raise ManifestError(f"{self.path}: {key}: {problem}")

    def value(self, key: str, kind: type, where: Mapping[str, Any], prefix: str = "") -> Any:
        if key not in where:
            self.fail(prefix + key, "is missing")
        value = where[key]
        # A YAML true is an int to Python, and no manifest means 1 by it.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.fail(prefix + key, f"{value!r} should be of type {kind.__name__}")
        return value

    def text(self, key: str) -> str:
        return str(self.value(key, str, self.document))

    def integer(self, key: str) -> int:
        return int(self.value(key, int, self.document))

    def mapping(self, key: str) -> Mapping[str, Any]:
        """A mapping that may be absent or empty."""
        if self.document.get(key) is None:
            return {}
        return dict(self.value(key, dict, self.document))

    def embedding_dim(self) -> int | None:
        embedding = self.mapping("embedding")
        if not embedding:
            return None
        return int(self.value("dim", int, embedding, "embedding."))

    def calibration(self) -> Calibration | None:
        embedding = self.mapping("embedding")
        if "threshold" not in embedding:
            return None
        mean, threshold = (
            float(self.value(key, float, embedding, "embedding."))
            for key in ("impostor_mean", "threshold")
        )
        if not -1.0 <= mean < threshold < 1.0:
            self.fail("embedding.threshold", f"{threshold} should be between impostor_mean and 1")
        return Calibration(mean, threshold)

    def tensors(self, key: str) -> tuple[TensorSpec, ...]:
        entries = self.value(key, list, self.document)
        if not entries:
            self.fail(key, "is empty")
        return tuple(self.tensor(entry, f"{key}[{i}]") for i, entry in enumerate(entries))

    def tensor(self, entry: Any, key: str) -> TensorSpec:
        if not isinstance(entry, dict):
            self.fail(key, f"{entry!r} should be a mapping of name, alias, dtype, shape")
        name, alias, dtype = (
            str(self.value(part, str, entry, f"{key}.")) for part in ("name", "alias", "dtype")
        )
        if dtype not in DTYPES:
            self.fail(f"{key}.dtype", f"{dtype!r} should be one of {', '.join(DTYPES)}")
        shape = self.value("shape", list, entry, f"{key}.")
        if not all(type(size) is int and (size == -1 or size > 0) for size in shape):
            self.fail(f"{key}.shape", f"{shape!r} should list sizes, -1 for a free one")
        return TensorSpec(name, alias, dtype, tuple(shape))
