"""``python -m deploy.containers.trimming [NAME]...``: an environment without what a build needs.

Run while the image is built. Packages that are named go, then pip, then the tests, headers, samples
and debuggers' symbols of what stays; what the service imports is compiled, as nothing can be in a
container that reads only.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

# What builds packages, and is not imported by what runs. setuptools is: by Milvus' client.
_TOOLS = ("wheel", "pip")
# Folders of packages that only their own tests, compilers or demonstrations read.
_TESTS = "tests"
_UNUSED = (
    "cv2/data",  # cascades of an older kind of detector
    "matplotlib/mpl-data/sample_data",
    "paddle/include",
    "paddle_serving_server/pipeline/gateway/libproxy_server.so",  # its gateway in Go
    # OpenVINO's for other devices than the processor, which load when one asks for them.
    "openvino/libs/libopenvino_intel_gpu_plugin.so",
    "openvino/libs/libopenvino_intel_npu_plugin.so",
    "openvino/libs/cache.json",
)
_OWN_LIBRARIES = b".libs"
# What the service's processes and commands begin with; the rest follows from them.
PROGRAMS = (
    "web_service", "paddle_fence.pipeline", "ops.serving.__main__",
    "ops.pictures.decoder_process", "ops.registry",
    "gateway.server", "gateway.__main__", "library.__main__", "library.commands",
    "library.index.milvus.index", "tracer.__main__", "tracer.plot", "deploy.__main__",
    "deploy.containers.health", "paddle", "paddle.inference", "uvloop", "httptools",
    "psycopg", "pymysql", "uvicorn", "psutil", "logging.config",
)  # fmt: skip
# Not in an image for GPUs.
_NOT_EVERYWHERE = ("openvino",)


def main(names: Sequence[str]) -> int:
    """Trim the environment of this Python; 0."""
    site = Path(sysconfig.get_paths()["purelib"])
    _uninstall([*names, *_TOOLS])
    remove_unused(site)
    strip(site)
    there = [name for name in _NOT_EVERYWHERE if importlib.util.find_spec(name) is not None]
    print(f"{compile_imported([*PROGRAMS, *there])} modules compiled")
    return 0


def _uninstall(names: Sequence[str]) -> None:
    # One after the other, as pip goes last and by its own hand.
    command = [sys.executable, "-m", "pip", "uninstall", "--yes", "--quiet"]
    subprocess.run([*command, *names], check=True)


def remove_unused(site: Path) -> None:
    """Take from an environment's packages what only their own tests and compilers read."""
    for name in _UNUSED:
        path = site / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for folder in sorted(site.rglob(_TESTS)):
        # One that its package imports is more than tests.
        if folder.is_dir() and folder.parent != site:
            shutil.rmtree(folder)


def strip(site: Path) -> None:
    """Take the debuggers' symbols from extension modules, some of which are three times as large.

    Not from what was made to find libraries of its own package (auditwheel): its parts were moved
    once already, and are not where strip expects them.
    """
    plain = [file for file in site.rglob("*.so") if _is_plain(file.relative_to(site), site)]
    subprocess.run(["strip", "--strip-unneeded", *map(str, plain)], check=True)


def _is_plain(name: Path, site: Path) -> bool:
    """Whether a module was left as its compiler made it. name: relative to `site`."""
    if name.parts[0] == "paddle" or name.parts[0].endswith(_OWN_LIBRARIES.decode()):
        return False
    return _OWN_LIBRARIES not in (site / name).read_bytes()


def compile_imported(names: Iterable[str]) -> int:
    """Import modules, and compile all that came with them; how many.

    The compiled files name no time and are not compared to their source again: copies of an image's
    layers need not keep times.
    """
    # Paddle Serving makes a folder for its logs when it is imported.
    os.environ.setdefault("SERVING_LOG_PATH", tempfile.gettempdir())
    for name in names:
        importlib.import_module(name)
    count = 0
    for module in list(sys.modules.values()):
        source = getattr(module, "__file__", None)
        if source is None or not source.endswith(".py"):
            continue
        if not source.startswith(sys.prefix) and not Path(source).is_relative_to(Path.cwd()):
            continue
        target = importlib.util.cache_from_source(source)
        py_compile.compile(
            source,
            target,
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
        count += 1
    return count


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
