"""Packages of registries, which the registry's own program fetches, so that its settings hold."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.errors import IntegrityError, UnreachableError
from convert.terminal import CONSOLE

TIMEOUT = 900  # seconds for one package


@dataclass(frozen=True)
class Registry:
    """name: for messages. program: that fetches. kind, pattern: of the file that it gives.

    digest: of a file, as the catalog pins it. digest_name: what stands before it in messages.
    reason: the sentence in the program's error output that says why.
    """

    name: str
    program: str
    kind: str
    pattern: str
    digest: Callable[[Path], str]
    reason: Callable[[str], str]
    digest_name: str = ""

    def kept(self, file: Path, package: str, expected: str, fetch: Callable[[Path], None]) -> Path:
        """``file`` in the cache, fetched where it is not there yet.

        package: with its version. fetch: puts the registry's file into a folder.
        Raises UnreachableError where it gives none, IntegrityError for another digest.
        """
        if file.is_file() and self.digest(file) == expected:
            return file
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{self.program}-") as work:
            fetch(Path(work))
            given = next(iter(sorted(Path(work).glob(self.pattern))), None)
            if given is None:
                raise UnreachableError(f"{self.program} gave no {self.kind} of {package}")
            actual = self.digest(given)
            if actual != expected:
                raise IntegrityError(
                    f"{self.name} {package}: expected {self.digest_name}{expected}, got {actual}"
                )
            given.replace(file)
        return file

    def run(
        self,
        command: Sequence[str],
        package: str,
        size: int,
        out_dir: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Have the program write a package of so many bytes into a folder.

        Raises UnreachableError where it does not.
        """
        with CONSOLE.status(f"Fetching {self.name} {package}, {size / 1e6:.0f} MB"):
            try:
                process = subprocess.run(
                    command,
                    cwd=out_dir,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=environment,
                    text=True,
                    timeout=TIMEOUT,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise UnreachableError(
                    f"{self.name} {package}: nothing after {TIMEOUT} s"
                ) from error
        if process.returncode != 0:
            raise UnreachableError(
                f"{self.name} {package} cannot be fetched: {self.reason(process.stderr)}"
            )
