"""Ask the service about faces over HTTP: ``python pipeline_http_client.py [PATH...]``.

Without a path it sends a sample picture. ``--help`` lists the options.
"""

from __future__ import annotations

import sys

from client.cli.commands import http

if __name__ == "__main__":
    sys.exit(http())
