"""What all sections of ``config.yml`` have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Frozen; takes no keys that it does not know, and no value of another type than it says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())
