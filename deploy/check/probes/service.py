"""The installed service: packages, settings, models, and whether it answers.

Imported where the packages are there only.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import socket
import stat
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from deploy.check.finding import Finding, counted, failed, not_applicable, passed, warned
from deploy.check.machine import HangsError, Machine, within
from deploy.check.needs import GATEWAY, Needs, Place
from deploy.check.probes.network import is_own
from deploy.check.probes.sockets import listeners, services
from inference.manifest import Manifest, ManifestError
from inference.recogniser import load_recogniser
from settings.config import Config, ConfigError
from settings.licences import is_commercial

_LOCKS = {"cpu": "requirements.lock", "gpu": "requirements-gpu.lock"}
_HEALTH_S = 4.0
_CONNECT_S = 3.0
# One that stands there itself, and not ${NAME}.
_WRITTEN_PASSWORD = re.compile(r"://[^/@]*:(?!\$\{)[^@]*@")
# Models that a stage of the pipeline runs are read whole for their digests.
_MODELS_S = 20.0


def packages(root: Path, device: str) -> Finding:
    """Whether what is installed is what the lock says. device: cpu or gpu."""
    item = "service.packages"
    name = _LOCKS[device]
    try:
        text = (root / name).read_text(encoding="utf-8")
    except OSError:
        return not_applicable(item, f"no {name} beside the program")
    locked: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE):
        locked.setdefault(package, set()).add(version)
    always = set(re.findall(r"^([\w.-]+)==[^\s;\\]+ \\$", text, re.MULTILINE))
    wrong, right = [], 0
    for package, versions in locked.items():
        there = _version(package)
        if there in versions:
            right += 1
        elif there is not None or package in always:
            wrong.append(f"{package} {there or 'missing'}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        return failed(item, f"not as {name} says: {', '.join(wrong[:3])}{more}", device=device)
    return passed(item, f"{right} as {name} says")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def models(config: Config, role: str) -> Iterator[Finding]:
    """Whether each stage's models are there, and as their manifests say.

    A gateway alone needs the manifest of the recogniser, whose scores it translates.
    """
    stages = [name for name, op in config.op.items() if op.models]
    if role == GATEWAY:
        stages = [name for name in stages if name in ("ArcFace", "Liveness")]
    for stage in stages:
        names = ", ".join(config.op[stage].models)
        facts = {"names": names.replace(",", ""), "stage": stage}
        try:
            read = partial(_intact, config, stage)
            found = within(f"reading the models of {stage}", read, _MODELS_S)
        except HangsError as error:
            yield failed("service.models", str(error), "hangs", stage, **facts)
        except (ConfigError, ManifestError, OSError) as error:
            yield failed("service.models", str(error), "", stage, **facts)
        else:
            yield passed("service.models", found, stage)


def _intact(config: Config, stage: str) -> str:
    """The stage's models in words. Raises ConfigError, ManifestError and OSError."""
    words = []
    for directory in config.chosen_models(stage):
        manifest = Manifest.load(directory)
        manifest.check_files()
        count = counted(len(manifest.files), "file")
        words.append(f"{manifest.name}: {count} as its manifest says ({manifest.licence})")
    if stage == "ArcFace" and config.gateway.port:
        op = config.op[stage]
        load_recogniser(config.chosen_models(stage), op.weights, op.flip)
    return "; ".join(words)


def secrets(config: Config) -> Finding:
    """Whether others than the service may read a password that stands in the settings' file."""
    item = "service.secrets"
    if not _WRITTEN_PASSWORD.search(config.library.database):
        return passed(item, "no password of the database stands in it")
    mode = stat.S_IMODE(config.path.stat().st_mode)
    words = f"a password stands in it, and its mode is {mode:o}"
    if mode & stat.S_IROTH:
        return warned(item, f"{words}: anybody may read it", file=config.path)
    return passed(item, words)


def pipelines(config: Config) -> Iterator[Finding]:
    """Whether the pipelines on other machines can be reached, and how fast."""
    item = "service.pipelines"
    if not config.gateway.pipelines:
        yield not_applicable(item, "that of the same service")
    for address in config.gateway.pipelines:
        try:
            took = within(address, partial(_connect_ms, address))
        except (HangsError, OSError) as error:
            yield failed(item, f"cannot be reached: {error}", "", address)
        else:
            yield Finding(item, f"takes connections, {took:.1f} ms", round(took, 1), None, address)


def _connect_ms(address: str) -> float:
    host, _, port = address.rpartition(":")
    begun = time.perf_counter()
    socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()
    return (time.perf_counter() - begun) * 1000


def health(machine: Machine, needs: Needs) -> Finding:
    """Whether the gateway says of itself that it is well, where it runs."""
    item = "service.health"
    places = [place for place in needs.places if place.key == "gateway.port"]
    if not places:
        return not_applicable(item, "no gateway in the settings")
    (place,) = places
    taken = [one for one in listeners(machine) if one.port == place.port and one.takes(place.host)]
    if not is_own(taken, services(machine), place, needs):
        return not_applicable(item, "it does not run")
    try:
        return within("its /health", lambda: _health(place), _HEALTH_S + 1)
    except HangsError as error:
        return failed(item, str(error), "hangs")


def _health(place: Place) -> Finding:
    host = "127.0.0.1" if place.host in ("0.0.0.0", "") else place.host  # noqa: S104
    host = f"[{host if host != '::' else '::1'}]" if ":" in host else host
    # The settings' own address; a proxy of the environment has nothing to do with it.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{host}:{place.port}/health", timeout=_HEALTH_S) as answer:
            answer.read(1 << 16)
        return passed("service.health", "it says that it is well")
    except urllib.error.HTTPError as error:
        return failed("service.health", f"{error.code}: {_reasons(error.read(1 << 16))}")
    except OSError as error:
        return failed("service.health", f"no answer: {getattr(error, 'reason', error)}")


def _reasons(body: bytes) -> str:
    try:
        document = json.loads(body)
        result = document.get("result", document)
        return "; ".join(map(str, result.get("reasons", []))) or "without a reason"
    except (ValueError, AttributeError):
        return "without a reason"


def licences(config: Config) -> Finding:
    """Whether a model may be used for anything but research."""
    item = "service.licences"
    bound = []
    for stage, op in config.op.items():
        try:
            directories = config.chosen_models(stage) if op.models else []
            manifests = [Manifest.load(directory) for directory in directories]
        except (ConfigError, ManifestError, OSError):
            continue
        bound += [one.name for one in manifests if not is_commercial(one.licence, one.commercial)]
    if bound:
        return warned(item, f"for research only: {', '.join(bound)}")
    return passed(item, "none is for research only")
