"""What a run has seen: kills, answers, restarts, and whatever should not have been."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bench.kills.truth import Finding

# What findings are called, in the order of the report.
FINDINGS = {
    "lost": "acknowledged, and lost",
    "resurrected": "deleted, and there again",
    "half": "half of an operation",
    "key lost": "keys lost",
    "revoked key answered": "revoked keys answered",
    "backup": "backups and restores that are wrong",
    "verify": "findings of verify",
    "survivor": "processes that outlived their service",
    "command": "commands that failed by themselves",
    "service": "processes that ended or did not start by themselves",
}
# A run that finds so much has shown it.
MOST_FINDINGS = 1000


@dataclass
class Record:
    """Counts by kind. asked: operations, by how they ended.

    settled: unknown ones, by what they turned out to be. compared: states that were looked at.
    grace: answers to revoked keys within the time that is documented for it. restarts: seconds
    until what was killed worked again.
    """

    database: str
    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    processes_killed: int = 0
    acknowledged: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)
    compared: int = 0
    probes_of_revoked: int = 0
    grace: int = 0
    restarts: dict[str, list[float]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    seconds: float = 0.0
    trouble: str = ""

    @property
    def killed(self) -> int:
        """All kills."""
        return sum(self.kills.values())

    def found(self, findings: Iterable[Finding]) -> None:
        """Note what should not be."""
        self.findings.extend(findings)

    def restarted(self, what: str, seconds: float) -> None:
        """Note how long something was away."""
        self.restarts.setdefault(what, []).append(seconds)

    def counts(self) -> dict[str, int]:
        """Findings by kind, all kinds."""
        seen = Counter(finding.kind for finding in self.findings)
        return {kind: seen[kind] for kind in FINDINGS}

    def complaints(self) -> list[str]:
        """What keeps the run from being a success."""
        said = [f"{count} {FINDINGS[kind]}" for kind, count in self.counts().items() if count]
        return [*said, *([self.trouble] if self.trouble else [])]

    def restart_times(self) -> dict[str, dict[str, float]]:
        """Seconds: the median and the longest."""
        return {
            what: {
                "count": len(times),
                "median": round(float(np.median(times)), 2),
                "longest": round(max(times), 2),
            }
            for what, times in sorted(self.restarts.items())
        }

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "database": self.database,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "killed": self.killed,
            "kills": dict(self.kills),
            "processes_killed": self.processes_killed,
            "acknowledged": dict(self.acknowledged),
            "refused": dict(self.refused),
            "unknown": dict(self.unknown),
            "codes": dict(self.codes),
            "compared": self.compared,
            "probes_of_revoked": self.probes_of_revoked,
            "grace": self.grace,
            "restarts": self.restart_times(),
            "counts": self.counts(),
            "findings": [asdict(finding) for finding in self.findings[:MOST_FINDINGS]],
            "complaints": self.complaints(),
        }
