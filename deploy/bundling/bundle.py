"""Making a bundle; what one is made of, and how it is looked through, is `bundle_file`'s.

Packages are those of the locks, fetched by pip with the digests that stand there. One that comes
as source only stays so, and is built where it is installed, by what the bundle has for that.
"""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from convert.model_directory import MANIFEST as MODEL_MANIFEST
from convert.sources.fetch import CACHE_DIR
from deploy.errors import DeployError
from deploy.installation import release
from deploy.installation.bundle_file import (
    MANIFEST,
    MODELS,
    PROJECT,
    SOURCES,
    WHEELS,
    Manifest,
    digest_of,
)

ROOT = Path(__file__).resolve().parents[2]
_BUILD = "requirements-build.lock"
_LOCKS = {"cpu": "requirements.lock", "gpu": "requirements-gpu.lock"}
# Settings of an environment that the caller may have: packages go where they are told to here.
_OTHERS = ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_CONSTRAINT")


@dataclass(frozen=True)
class Contents:
    """What goes into a bundle.

    python: a version such as 3.11. device: cpu or gpu. models: the folder of converted ones.
    wheels: a folder of packages that are there already, None to fetch them. sources: whether
    what models are converted from goes in as well, where it has been fetched.
    """

    python: str
    device: str
    models: Path
    wheels: Path | None = None
    sources: bool = False


def make(out: Path, contents: Contents, say: Callable[[str], None]) -> Manifest:
    """Write a bundle; the file appears when it is complete. Raises DeployError."""
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".bundle-", dir=out.parent) as name:
        wheels = contents.wheels
        if wheels is None:
            wheels = Path(name) / WHEELS
            wheels.mkdir()
            _fetch(wheels, Path(name) / "environment", contents, say)
        files = _files(contents, wheels)
        manifest = _manifest(contents, files)
        made = Path(name) / "bundle.tar"
        _write(made, manifest, files)
        made.chmod(0o644)
        os.replace(made, out)
    return manifest


def _fetch(wheels: Path, environment: Path, contents: Contents, say: Callable[[str], None]) -> None:
    """All packages of the locks, by the pip of an environment of that Python."""
    interpreter = _run(
        [str(ROOT / "scripts" / "get-python"), contents.python], capture=True
    ).strip()
    _run([interpreter, "-m", "venv", str(environment)])
    python = str(environment / "bin" / "python")
    say(f"fetching packages for Python {contents.python}")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    exact = ["--no-deps", "--require-hashes", "-q", "-r"]
    # What builds a source package has to be there when pip asks that for its name.
    _run([*pip, "install", *exact, str(ROOT / _BUILD)])
    for lock in (_BUILD, _LOCKS[contents.device]):
        fetch = [*pip, "download", "--no-build-isolation", "--progress-bar", "off"]
        _run([*fetch, "-d", str(wheels), *exact, str(ROOT / lock)])


def _files(contents: Contents, wheels: Path) -> dict[str, Path]:
    """Where each file of a bundle is to be had, by its name there."""
    files = {f"{PROJECT}/{name}": ROOT / name for name in release.files_of(ROOT)}
    for path in sorted(wheels.iterdir()):
        files[f"{WHEELS}/{path.name}"] = path
    found = sorted(contents.models.glob(f"*/{MODEL_MANIFEST}"))
    if not found:
        raise DeployError(f"{contents.models}: no models; .venv/bin/python -m convert --default")
    for manifest in found:
        files |= _below(manifest.parent, f"{MODELS}/{manifest.parent.name}")
    if contents.sources:
        if not CACHE_DIR.is_dir():
            raise DeployError(f"{CACHE_DIR}: nothing that models were converted from is there")
        files |= _below(CACHE_DIR, SOURCES)
    return files


def _below(folder: Path, name: str) -> dict[str, Path]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]
    return {f"{name}/{path.relative_to(folder)}": path for path in paths}


def _manifest(contents: Contents, files: dict[str, Path]) -> Manifest:
    return Manifest(
        release.name_of(ROOT),
        contents.python,
        contents.device,
        {name: (path.stat().st_size, digest_of(path)) for name, path in files.items()},
        frozenset(name for name, path in files.items() if os.access(path, os.X_OK)),
    )


def _write(made: Path, manifest: Manifest, files: dict[str, Path]) -> None:
    """The same files make the same bundle: no time and no owner is in it."""
    with tarfile.open(made, "w:", format=tarfile.PAX_FORMAT) as tar:
        text = manifest.to_json().encode()
        head = tarfile.TarInfo(MANIFEST)
        head.size, head.mode = len(text), 0o644
        tar.addfile(head, io.BytesIO(text))
        for name, path in files.items():
            member = tarfile.TarInfo(name)
            member.size = manifest.files[name][0]
            member.mode = 0o755 if name in manifest.executable else 0o644
            with path.open("rb") as content:
                tar.addfile(member, content)


def _run(command: list[str], capture: bool = False) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in _OTHERS}
    environment["PYTHONNOUSERSITE"] = "1"
    done = subprocess.run(
        command, check=False, text=True, env=environment,
        stdout=subprocess.PIPE if capture else None,
    )  # fmt: skip
    if done.returncode:
        raise DeployError(f"{' '.join(command[:4])} ... ended with status {done.returncode}")
    return str(done.stdout or "")
