"""Ask the service about faces over HTTP: ``python pipeline_http_client.py [PATH...]``.

Without a path it sends a sample picture. ``--help`` lists the options.
"""

from __future__ import annotations

import sys

from client.cli.scripts import Client, main
from client.pipeline.http import DEFAULT_URL, HttpTransport
from client.terminal.command import run_command

if __name__ == "__main__":
    client = Client("pipeline_http_client", "HTTP", "--url", DEFAULT_URL, HttpTransport)
    sys.exit(run_command(lambda: main(client, sys.argv[1:])))
