"""Which models may be used for what, by what their manifests say of their licences."""

from __future__ import annotations

from pathlib import Path

from settings.yaml_file import YamlError, read_yaml

ANY, COMMERCIAL = "any", "commercial"
# What `licence` in config.yml may be.
CHOICES = (ANY, COMMERCIAL)
_BOUND = "non-commercial"


def is_commercial(name: str, told: bool | None = None) -> bool:
    """Whether the weights under the licence ``name`` may be used commercially.

    told: what the manifest says of it; earlier versions wrote the name alone.
    """
    return _BOUND not in name.lower() if told is None else told


def licence_of(model_dir: Path) -> tuple[str, bool]:
    """A converted model's licence in words, and whether it allows commercial use.

    One that cannot be read allows none.
    """
    try:
        manifest = read_yaml(model_dir / "model.yml")
        name, told = manifest["licence"], manifest.get("commercial")
    except (AttributeError, KeyError, OSError, TypeError, YamlError):
        return "a licence that cannot be read", False
    return str(name), is_commercial(str(name), told if isinstance(told, bool) else None)
