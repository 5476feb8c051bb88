"""The two command lines over the pipeline, each with its way to the service."""

from __future__ import annotations

import sys

from client.cli.scripts import Client, main
from client.terminal.command import run_command


def http() -> int:
    """``pipeline_http_client``: its exit status."""
    from client.pipeline.http import DEFAULT_URL, HttpTransport

    client = Client("pipeline_http_client", "HTTP", "--url", DEFAULT_URL, HttpTransport)
    return run_command(lambda: main(client, sys.argv[1:]))


def rpc() -> int:
    """``pipeline_rpc_client``: its exit status."""
    from client.pipeline.rpc import DEFAULT_ADDRESS, RpcTransport

    client = Client("pipeline_rpc_client", "gRPC", "--address", DEFAULT_ADDRESS, RpcTransport)
    return run_command(lambda: main(client, sys.argv[1:]))
