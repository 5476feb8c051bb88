"""Where a release comes from: a checkout with a network, or a bundle without one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.installation import release
from deploy.installation.bundle_file import (
    MODELS,
    PROJECT,
    SOURCES,
    WHEELS,
    Manifest,
    read_manifest,
    unpack,
)
from deploy.installation.errors import InstallError
from deploy.installation.host import run
from deploy.installation.layout import Layout, Wish

_MODEL = "model.yml"
# Root's own Pythons, of pyenv for instance, are in folders that the service's user cannot enter.
_SYSTEMS_OWN = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "PYENV_ROOT": "/nonexistent",
    "UV_PYTHON_INSTALL_DIR": "/nonexistent",
}


@dataclass(frozen=True)
class Source:
    """A release that can be installed.

    project: a folder with its files. bundle: a file, or None. name: of the release.
    """

    project: Path
    bundle: Path | None
    name: str
    manifest: Manifest | None = None

    def check(self, wish: Wish) -> None:
        """Raise InstallError where it does not go with what is wished."""
        if self.manifest is None:
            return
        if self.manifest.device != wish.device:
            raise InstallError(
                f"{self.bundle}: its packages are for {self.manifest.device}, not {wish.device}"
            )
        if wish.python not in ("", self.manifest.python):
            raise InstallError(
                f"{self.bundle}: its packages are for Python {self.manifest.python}, "
                f"not {wish.python}"
            )


def source_of(project: Path, bundle: Path | None) -> Source:
    """A bundle, or else the checkout. Raises InstallError."""
    if bundle is None:
        return Source(project, None, release.name_of(project))
    manifest = read_manifest(bundle)
    return Source(project, bundle, manifest.release, manifest)


def make(source: Source, layout: Layout, wish: Wish) -> None:
    """Make the release's folder with everything in it but its record, and what models it brings."""
    folder = layout.releases / source.name
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    (folder / release.UNFINISHED).touch()
    with _unpacked(source, layout) as unpacked:
        project = source.project if unpacked is None else unpacked / PROJECT
        release.copy(project, folder)
        if release.name_of(folder) != source.name:
            raise InstallError(f"{source.bundle or source.project} is not release {source.name}")
        _make_environment(folder, source, wish, unpacked)
        if unpacked is not None and (unpacked / SOURCES).is_dir():
            # Where the converter looks before it asks the network.
            shutil.copytree(unpacked / SOURCES, folder / ".cache" / "convert")
        _bring_models(folder, layout, unpacked)


def models_of(layout: Layout) -> tuple[str, ...]:
    """Names of the models that are there."""
    return tuple(sorted(path.parent.name for path in layout.models.glob(f"*/{_MODEL}")))


@contextmanager
def _unpacked(source: Source, layout: Layout) -> Iterator[Path | None]:
    """The bundle's files in a folder that goes again; None for a checkout."""
    if source.bundle is None:
        yield None
        return
    # On the disk of the releases, where there has to be room anyway.
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=layout.releases) as name:
        unpack(source.bundle, Path(name))
        yield Path(name)


def _make_environment(folder: Path, source: Source, wish: Wish, unpacked: Path | None) -> None:
    environment = {**os.environ, **_SYSTEMS_OWN, "HOME": str(folder), "DEVICE": wish.device}
    environment |= {"PIP_NO_CACHE_DIR": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    python = source.manifest.python if source.manifest else wish.python
    if python:
        environment["PYTHON_VERSION"] = python
    if unpacked is not None:
        # Packages come from the bundle alone, whatever this machine's settings of pip say; their
        # digests stand in the locks.
        environment |= {
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": str(unpacked / WHEELS),
            "PIP_CONFIG_FILE": os.devnull,
        }
        if not _has_python(folder, environment, python):
            raise InstallError(
                f"the bundle's packages are for Python {python}, which is not on this machine"
            )
    run([str(folder / "scripts" / "setup"), "--no-models"], environment, folder)
    packages = [
        name for name in sorted(os.listdir(folder)) if (folder / name / "__init__.py").is_file()
    ]
    # The service's user cannot write there, and would compile all of it at each start.
    run([str(python_of(folder)), "-m", "compileall", "-q", *packages], None, folder)
    # A Python that was fetched stays.
    for path in (folder / ".cache").glob("*"):
        if path.name != "python":
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def python_of(folder: Path) -> Path:
    """A release's interpreter."""
    return folder / ".venv" / "bin" / "python"


def _has_python(folder: Path, environment: Mapping[str, str], version: str) -> bool:
    try:
        run([str(folder / "scripts" / "find-python"), version], environment, folder, capture=True)
    except InstallError:
        return False
    return True


def _bring_models(folder: Path, layout: Layout, unpacked: Path | None) -> None:
    """Models that are not there yet; one that is there stays, as the library stands on it."""
    layout.models.mkdir(parents=True, exist_ok=True)
    if unpacked is None:
        run(
            [
                str(python_of(folder)),
                "-m",
                "convert",
                "--default",
                "--models-dir",
                str(layout.models),
            ],
            None,
            folder,
        )
    for manifest in sorted((unpacked / MODELS).glob(f"*/{_MODEL}")) if unpacked else ():
        target = layout.models / manifest.parent.name
        if not (target / _MODEL).exists():
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(manifest.parent, target)
    for path in (layout.models, *layout.models.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() else 0o644)
