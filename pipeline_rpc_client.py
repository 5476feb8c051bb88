"""Ask the service about faces over gRPC: ``python pipeline_rpc_client.py [PATH...]``.

Without a path it sends a sample picture. ``--help`` lists the options.
"""

from __future__ import annotations

import sys

from client.cli.scripts import Client, main
from client.pipeline.rpc import DEFAULT_ADDRESS, RpcTransport
from client.terminal.command import run_command

if __name__ == "__main__":
    client = Client("pipeline_rpc_client", "gRPC", "--address", DEFAULT_ADDRESS, RpcTransport)
    sys.exit(run_command(lambda: main(client, sys.argv[1:])))
