"""The catalog of known models: ``catalog.yml``, read and validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from convert.errors import ConvertError
from inference.manifest import Task
from settings.yaml_file import YamlError, read_yaml

CATALOG_FILE = Path(__file__).with_name("catalog.yml")
SHA256 = r"^[0-9a-f]{64}$"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Package(_Frozen):
    """A package of the npm registry, pinned by the digest of its tarball.

    integrity: ``sha512-`` and the digest in base64, as registries state it; size: bytes.
    """

    npm: str
    version: str
    integrity: str = Field(pattern=r"^sha512-[A-Za-z0-9+/]{86}==$")
    size: int = Field(gt=0)


class Wheel(_Frozen):
    """A package of the Python registry, pinned by the digest of its wheel; size: bytes."""

    pypi: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: str = Field(pattern=r"^[A-Za-z0-9.+!]+$")
    sha256: str = Field(pattern=SHA256)
    size: int = Field(gt=0)


class PackageSource(_Frozen):
    """Files inside one of the catalog's packages; paths are below the package's root."""

    package: str
    files: Mapping[str, str | None] = Field(min_length=1)

    @field_validator("files")
    @classmethod
    def _checked_files(cls, files: Mapping[str, str | None]) -> Mapping[str, str | None]:
        return _checked(files)


class UrlSource(_Frozen):
    """A public download: an archive that holds ``files``, or the only file itself.

    sha256: of the download; None where its publisher gives none.
    max_size: bytes; a longer answer is refused.
    """

    url: str = Field(pattern=r"^https?://")
    sha256: str | None = Field(default=None, pattern=SHA256)
    max_size: int = Field(gt=0)
    files: Mapping[str, str | None] = Field(min_length=1)

    @field_validator("files")
    @classmethod
    def _checked_files(cls, files: Mapping[str, str | None]) -> Mapping[str, str | None]:
        return _checked(files)

    @property
    def host(self) -> str:
        """The host that is asked."""
        return urlsplit(self.url).hostname or self.url


Source = PackageSource | UrlSource


class Licence(_Frozen):
    """Under which terms the weights may be used."""

    name: str
    commercial: bool = True


class Embedding(_Frozen):
    """What a recogniser gives: ``dim`` numbers a face.

    impostor_mean: cosine of two different people in the mean. threshold: cosine above which one
    in a thousand pairs of different people lies. Together they calibrate scores; both or none.
    mirrored: cosine of a face and its mirror image in the mean, for embeddings of both.
    """

    dim: int = Field(gt=0)
    impostor_mean: float | None = Field(default=None, ge=-1.0, lt=1.0)
    threshold: float | None = Field(default=None, gt=-1.0, lt=1.0)
    mirrored: float | None = Field(default=None, gt=0.0, le=1.0)

    @model_validator(mode="after")
    def _calibrated(self) -> Embedding:
        mean, threshold = self.impostor_mean, self.threshold
        if (mean is None) != (threshold is None):
            raise ValueError("impostor_mean and threshold come together")
        if mean is not None and threshold is not None and mean >= threshold:
            raise ValueError("impostor_mean has to be below threshold")
        return self


class Entry(_Frozen):
    """One model of the catalog; ``catalog.yml`` says what the fields mean."""

    name: str = ""
    task: Task
    family: str
    format: Literal["tfjs", "face_resnet", "paddle", "onnx"]
    default: bool = False
    fallback: tuple[str, ...] = ()
    licence: Licence
    accuracy: str | None = None
    sources: tuple[Source, ...] = Field(min_length=1)
    inputs: tuple[str, ...] = ("image",)
    outputs: tuple[str, ...] = ()
    embedding: Embedding | None = None
    max_batch: int = Field(default=0, ge=0)
    options: Mapping[str, Any] = {}
    input_size: tuple[int, int] | Literal["any"] | None = None

    @field_validator("fallback", mode="before")
    @classmethod
    def _several(cls, fallback: Any) -> Any:
        return (fallback,) if isinstance(fallback, str) else fallback

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """Height and width that the graph is given; None where it keeps its own, or any."""
        return None if self.input_size == "any" else self.input_size

    @model_validator(mode="after")
    def _complete(self) -> Entry:
        if self.input_size == "any" and self.format != "onnx":
            raise ValueError("input_size: any is for format onnx")
        if (self.task == "recognition") != (self.embedding is not None):
            raise ValueError("embedding is for recognisers, and each of them needs it")
        if self.format in ("paddle", "onnx") and not self.outputs:
            raise ValueError(f"outputs: the roles are needed for format {self.format}")
        return self


class Catalog(_Frozen):
    """All known packages and models."""

    packages: Mapping[str, Package | Wheel]
    models: Mapping[str, Entry]

    @model_validator(mode="after")
    def _references(self) -> Catalog:
        for name, entry in self.models.items():
            for stand_in in entry.fallback:
                if stand_in not in self.models:
                    raise ValueError(f"{name}: fallback {stand_in} is no model of the catalog")
            for source in entry.sources:
                if isinstance(source, PackageSource) and source.package not in self.packages:
                    raise ValueError(f"{name}: {source.package} is no package of the catalog")
        return self

    def entry(self, name: str) -> Entry:
        """The model called ``name``; raises ConvertError naming the known ones."""
        try:
            return self.models[name]
        except KeyError:
            known = ", ".join(self.models)
            raise ConvertError(f"no model is called {name}; known: {known}") from None

    def default_entries(self) -> list[Entry]:
        """The set that set-up converts, in the catalog's order."""
        return [entry for entry in self.models.values() if entry.default]

    def stand_ins(self, entry: Entry) -> list[Entry]:
        """The models that may stand in for ``entry``, the best first."""
        return [self.models[name] for name in entry.fallback]

    def describe(self, source: Source) -> str:
        """A source in words, without a package registry's address."""
        if isinstance(source, UrlSource):
            return source.url
        package = self.packages[source.package]
        if isinstance(package, Wheel):
            return f"pypi {package.pypi}=={package.version} {next(iter(source.files))}"
        return f"npm {package.npm}@{package.version} {next(iter(source.files))}"


def load_catalog(path: Path = CATALOG_FILE) -> Catalog:
    """Read a catalog; raises ConvertError that names the file, the key and what is wrong."""
    try:
        content = read_yaml(path)
    except (OSError, YamlError) as error:
        raise ConvertError(f"{path}: {error}") from error
    try:
        for name, model in content["models"].items():
            model["name"] = name
        return Catalog.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConvertError(f"{path}: {key}: {first['msg']}") from error
    except (AttributeError, KeyError, TypeError) as error:
        raise ConvertError(f"{path}: expected the maps packages and models") from error


def _checked(files: Mapping[str, str | None]) -> Mapping[str, str | None]:
    for path, digest in files.items():
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts:
            raise ValueError(f"{path} leaves the archive")
        if digest is not None and (len(digest) != 64 or not set(digest) <= set("0123456789abcdef")):
            raise ValueError(f"{path}: {digest} is no sha256")
    return files
