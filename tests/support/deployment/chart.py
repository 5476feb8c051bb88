"""The chart's objects as helm renders them, and Kubernetes' own word on each."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import yaml

from tests.support.deployment import tools
from tests.support.service import ROOT

CHART = ROOT / "deploy" / "helm" / "face-serving"
_DEFINITIONS = "/api/_definitions.json"


class Objects:
    """What helm renders with these values. all: every object; each was held against its schema."""

    def __init__(self, folder: Path, values: dict[str, Any]) -> None:
        text = render(folder, values)
        self.all = [one for one in yaml.safe_load_all(text) if one is not None]
        for one in self.all:
            check(one)

    def names(self, kind: str) -> list[str]:
        """Of the objects of a kind."""
        return sorted(one["metadata"]["name"] for one in self.all if one["kind"] == kind)

    def one(self, kind: str, name: str) -> dict[str, Any]:
        """The object of that kind and name."""
        (found,) = (
            one for one in self.all if one["kind"] == kind and one["metadata"]["name"] == name
        )
        return dict(found)

    def container(self, part: str) -> dict[str, Any]:
        """The container of a part's Deployment."""
        (found,) = self.pod(part)["containers"]
        return dict(found)

    def pod(self, part: str) -> dict[str, Any]:
        """The specification of a part's pods."""
        return dict(self.one("Deployment", f"face-serving-{part}")["spec"]["template"]["spec"])


def render(folder: Path, values: dict[str, Any], status: int = 0) -> str:
    """helm's output for a release named as the chart; it has to end with this status."""
    file = folder / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    command = [tools.helm(), "template", "face-serving", CHART, "--values", file]
    return tools.output(command, status)


def check(one: dict[str, Any]) -> None:
    """Raise jsonschema_rs.ValidationError where Kubernetes would refuse an object."""
    if one["apiVersion"].startswith("monitoring.coreos.com/"):
        return  # a kind of Prometheus' operator: no schema of Kubernetes' own
    _validator(one["apiVersion"], one["kind"]).validate(one)


@cache
def _validator(version: str, kind: str) -> Any:
    group, _, number = version.rpartition("/")
    named = "-".join(part for part in (kind.lower(), group.split(".")[0], number) if part)
    schema = _load(f"{named}.json")
    return jsonschema_rs.validator_for({**schema, "$defs": _load("_definitions.json")["$defs"]})


@cache
def _load(name: str) -> dict[str, Any]:
    text = (tools.kubernetes_schemas() / name).read_text()
    return dict(json.loads(text.replace(f"{_DEFINITIONS}#", "#")))
