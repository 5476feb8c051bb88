"""docs/errors.md as the code has it: ``python -m tests.support.errors_document`` writes it anew."""

from __future__ import annotations

from pathlib import Path

from gateway.errors import error_table as of_gateway
from library.errors import error_table as of_library

FILE = Path(__file__).resolve().parents[2] / "docs" / "errors.md"


def errors_document() -> str:
    """The whole text."""
    return f"""# Errors

The pipeline's errors are in [wire-format.md](wire-format.md#errors).

## Of the REST gateway

`error_code` and `error_msg` of the face API's answers, which have HTTP 200 whatever they say. A
detail may follow the message. `POST /compare` has a status for each, and has the same in `message`.

{of_gateway()}

## Of the face library

What `.venv/bin/python -m library` prints in front of its message, and `code` of a `LibraryError`.

{of_library()}
"""


if __name__ == "__main__":
    FILE.write_text(errors_document(), encoding="utf-8")
