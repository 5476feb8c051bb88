"""How Python finds what Paddle Serving imports and what cannot be loaded as it is."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location, spec_from_loader
from pathlib import Path
from types import ModuleType

from paddle_fence.generated import fill

CLIENT = "paddle_serving_client"
_TAKES_INTERRUPTS = "paddle_serving_server.serve"
_PACKAGES = ("paddle_serving_app", "paddle_serving_server")


class Client:
    """In the place of ``paddle_serving_client.Client``, which calls other Paddle Serving servers.

    Paddle Serving's ops import it, and use it where a stage has ``server_endpoints``. No stage has
    any here.
    """

    def __init__(self, *_: object, **__: object) -> None:
        raise NotImplementedError(f"{CLIENT} exists for Python 3.6 to 3.9 only")


class _StandIn(Loader):
    """Loads ``paddle_serving_client`` with nothing but the name that is imported from it."""

    def exec_module(self, module: ModuleType) -> None:
        vars(module)["Client"] = Client


class _Generated(Loader):
    """Loads a generated module by the description in its file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def exec_module(self, module: ModuleType) -> None:
        fill(module, self._path)


class _KeepingInterrupts(SourceFileLoader):
    """Loads a module that takes over SIGINT, and gives the signal back.

    Paddle Serving's handler prints a line and ends with status 0, so that an interrupted bench or
    test run would look like one that went well.
    """

    def exec_module(self, module: ModuleType) -> None:
        before = signal.getsignal(signal.SIGINT)
        try:
            super().exec_module(module)
        finally:
            if before is not None and signal.getsignal(signal.SIGINT) is not before:
                signal.signal(signal.SIGINT, before)


class Finder(MetaPathFinder):
    """Before all others: answers for Paddle Serving's modules that cannot be loaded as they are."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See importlib.abc.MetaPathFinder."""
        if name == CLIENT:
            return spec_from_loader(name, _StandIn())
        generated = name.endswith("_pb2") and name.partition(".")[0] in _PACKAGES
        if not generated and name != _TAKES_INTERRUPTS:
            return None
        found = PathFinder.find_spec(name, path, target)
        if found is None or found.origin is None:
            return None
        file = found.origin
        loader = _Generated(Path(file)) if generated else _KeepingInterrupts(name, file)
        return spec_from_file_location(name, file, loader=loader)


def install() -> None:
    """Have Python ask `Finder` first; once, however often it is called."""
    if not any(isinstance(one, Finder) for one in sys.meta_path):
        sys.meta_path.insert(0, Finder())
