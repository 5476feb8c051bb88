"""``python -m deploy.containers.health``: whether the service in this container answers.

The gateway's health, which tells of the pipeline and the library as well; that of a pipeline alone
where no gateway runs here. Exit status 0 or 1, with a line that says why.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from pathlib import Path

from deploy.containers.places import SETTINGS
from runtime.roles import Role
from settings.config import Config, ConfigError, load_config, own_address

_TIMEOUT_S = 6.0
_PROGRAM = "web_service.py"


def main(settings: Path = SETTINGS, processes: Path = Path("/proc")) -> int:
    """Ask once; the exit status."""
    try:
        url = address(load_config(settings), running_role(processes))
    except ConfigError as error:
        print(error)
        return 1
    return asked(url)


def asked(url: str) -> int:
    """The exit status by what is answered at a URL."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=_TIMEOUT_S) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        print(f"{url}: {error.code}: {error.read(2000).decode('utf-8', 'replace')}")
        return 1
    except OSError as error:
        print(f"{url}: {error}")
        return 1
    print(f"{url}: ok")
    return 0


def address(config: Config, role: Role) -> str:
    """What is asked for a role. Raises ConfigError where nothing can be."""
    gateway = config.gateway
    if role is not Role.PIPELINE and gateway.port:
        return f"http://{own_address(gateway.host, gateway.port)}/health"
    if not config.http_port:
        raise ConfigError(f"{config.path}: http_port: 0 leaves nothing that tells of its health")
    return f"http://{own_address(config.http_host, config.http_port)}/metrics"


def running_role(processes: Path) -> Role:
    """The role that the service was started with, from the list of processes."""
    for file in sorted(processes.glob("[0-9]*/cmdline")):
        try:
            words = file.read_bytes().decode("utf-8", "replace").split("\0")
        except OSError:
            continue
        if not any(word.endswith(_PROGRAM) for word in words):
            continue
        for place, word in enumerate(words):
            name, _, value = word.partition("=")
            if name == "--role":
                return Role(value or words[place + 1])
        return Role.ALL
    return Role.ALL


if __name__ == "__main__":
    sys.exit(main())
