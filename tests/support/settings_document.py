"""docs/settings.md as the code has it; ``python -m tests.support.settings_document`` writes it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from settings.config import Config

FILE = Path(__file__).resolve().parents[2] / "docs" / "settings.md"
# Not of the file: where it is, and the folder that its paths start from.
_NO_SETTINGS = {"path", "library.folder"}
# What a check in the code allows, which no schema tells.
_CHECKED = {
    "gateway.pipelines": "a list of HOST:PORT",
    "gateway.tls_address": "empty, or HOST:PORT",
    "gateway.trusted_networks": "a list of addresses and networks",
    "gateway.trusted_proxies": "a list of addresses and networks",
    "library.database": "a URL of SQLite, PostgreSQL, MySQL or MariaDB",
    "log.level": "DEBUG, INFO, WARNING, ERROR",
    "tracing.endpoint": "empty, or a URL",
    "op.STAGE.inputs": "a list of stages",
    "op.STAGE.devices": "empty for the CPU, or GPUs: numbers (`0`, `0,1`), or UUIDs of GPUs or "
    "of MIG instances (`GPU-...`, `MIG-...`) as `nvidia-smi -L` prints them",
    "op.STAGE.fallback": "a list of directories below `models_dir`, or one",
    "op.STAGE.models": "a list of directories below `models_dir`; one of them as `model`",
    "op.STAGE.weights": "a list of a number from 0.001 to 1,000 for each of several recognisers",
}


def settings_document() -> str:
    """The whole text."""
    schema = Config.model_json_schema()
    rows = "\n".join(_row(name, field) for name, field in _fields(schema, schema["$defs"], ""))
    return f"""# Settings

Every setting of [config.yml](../config.yml), its default and what is allowed. What it means stands
beside it in that file. `op.STAGE` is the section of a stage. A line left out has the default.

| setting | default | allowed |
|---|---|---|
{rows}
"""


def _fields(
    schema: dict[str, Any], sections: dict[str, Any], prefix: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Dotted names of all settings below `prefix`, each with its part of the schema."""
    for name, field in schema["properties"].items():
        inner, below = field, prefix + name
        if field.get("type") == "object":  # of sections by the names of stages
            inner, below = field["additionalProperties"], f"{below}.STAGE"
        if "$ref" in inner:
            section = sections[inner["$ref"].rpartition("/")[2]]
            yield from _fields(section, sections, f"{below}.")
        elif below not in _NO_SETTINGS:
            yield below, field


def _row(name: str, field: dict[str, Any]) -> str:
    default = json.dumps(field.get("default"), ensure_ascii=False)
    return f"| `{name}` | `{default}` | {_CHECKED.get(name) or _allowed(field)} |"


def _allowed(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join("nothing" if one.get("type") == "null" else _allowed(one)
                           for one in field["anyOf"])  # fmt: skip
    match field:
        case {"type": "boolean"}:
            return "true, false"
        case {"type": "integer" | "number" as kind, "minimum": least}:
            most = f" to {field['maximum']:,}" if "maximum" in field else " and more"
            return f"{'whole numbers ' if kind == 'integer' else ''}{least:,}{most}"
        case {"pattern": pattern} if choice := re.fullmatch(r"\^\(([\w|]+)\)\$", pattern):
            return choice[1].replace("|", ", ")
        case {"pattern": pattern}:
            return f"text that fits `{pattern}`".replace("|", r"\|")
        case {"type": "string", "minLength": _}:
            return "text that is not empty"
    return {"string": "text", "array": "a list"}[field["type"]]


if __name__ == "__main__":
    FILE.write_text(settings_document(), encoding="utf-8")
