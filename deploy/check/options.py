"""What the options of a check say of themselves, with click and without."""

from __future__ import annotations

ROLES = ("all", "pipeline", "gateway")
SHORT = "Check this server: before an installation, and after it."
CONFIG = "Settings of the service."
EXPECT = "A tenant file, whose needs are checked as well."
ROLE = "What this server is to run."
AS_JSON = "One JSON document."
EPILOG = "Exit status: 0 ready, also with warnings; 1 a failure; 2 wrong usage."
