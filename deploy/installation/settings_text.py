"""config.yml changed as text, with its comments: nothing that reads YAML is there yet."""

from __future__ import annotations

import re
from collections.abc import Mapping

from deploy.installation.errors import InstallError
from deploy.installation.layout import NAME, Layout, Wish

_LINE = re.compile(r"^(?P<indent> *)(?P<key>[A-Za-z_]\w*):(?P<gap> *)(?P<rest>.*)$")
# A value, and the comment behind it.
_REST = re.compile(r"^(?P<value>(?:\"[^\"]*\"|[^#\"])*?)(?P<comment>\s*(?:#.*)?)$")


def first_settings(text: str, layout: Layout, wish: Wish, more: Mapping[str, str]) -> str:
    """The project's config.yml as an installation begins with it.

    more: further settings, by their dotted names, as YAML has them. Raises InstallError.
    """
    data, logs = f"/var/lib/{NAME}", f"/var/log/{NAME}"
    values = {
        "models_dir": f"{layout.prefix}/models",
        "log.dir": logs,
        "gateway.token_file": f"{data}/tokens.db",
        "library.database": f"sqlite:///{data}/faces.db",
        "library.index.snapshot_dir": f"{data}/snapshots",
        "library.backups.dir": f"{data}/backups",
    }
    if wish.role == "pipeline":
        values["gateway.port"] = "0"
    if wish.role == "gateway":
        values["replicas"] = "0"
        values["http_port"] = "0"
    for name, value in {**values, **more}.items():
        text = with_value(text, name, value)
    return text


def with_value(text: str, name: str, value: str) -> str:
    """Text with another value of a setting that stands in it, in one line.

    name: with dots. Raises InstallError where it does not stand there.
    """
    lines = text.split("\n")
    path: list[tuple[int, str]] = []
    for number, line in enumerate(lines):
        found = _LINE.match(line)
        if found is None:
            continue
        indent = len(found["indent"])
        path = [one for one in path if one[0] < indent]
        path.append((indent, found["key"]))
        if ".".join(key for _, key in path) == name:
            rest = _REST.match(found["rest"])
            comment = rest["comment"] if rest else ""
            lines[number] = f"{found['indent']}{found['key']}: {value}{comment}"
            return "\n".join(lines)
    raise InstallError(f"config.yml has no setting {name}")
