"""gRPC connections to the pipeline: they come back by themselves and share the calls evenly."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import grpc
import grpc.aio

from client.pipeline.messages import METHOD, Response
from runtime.telemetry import tracing

_LOGGER = logging.getLogger(__name__)

# Seconds between two looks at all connections, and between those of a call that waits for one.
_KEEP_S = 0.25
_LOOK_S = 0.05

_OPTIONS = [
    # Replicas share a port, and the kernel chooses one when a connection is made: channels that
    # shared one connection would all be with the same replica.
    ("grpc.use_local_subchannel_pool", 1),
    # A restarted pipeline is found within a second; gRPC alone would wait up to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
    ("grpc.min_reconnect_backoff_ms", 2000),  # the time that an attempt to connect may take
    ("grpc.dns_min_time_between_resolutions_ms", 500),
    # A process that hangs or a machine that went away without a word is noticed while calls wait
    # for it: bytes and pings have to be confirmed in time. Pings more often than this would be
    # taken for an attack.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.ping_timeout_ms", 10_000),
    # What may be sent is checked before, and an answer is as long as the faces are many.
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Pictures in one write instead of many.
    ("grpc.http2.write_buffer_size", 1024 * 1024),
    # A proxy set for the internet would get, and break, requests to this machine.
    ("grpc.enable_http_proxy", 0),
]


class Connection:
    """One connection of its own to an address; made in the running event loop.

    under_way: calls that have not been answered yet. turn: grows from call to call of all
    connections; whose is lowest has had none for longest.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.under_way = 0
        self.turn = 0
        self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        self._inference = self._channel.unary_unary(
            METHOD,
            response_deserializer=Response.FromString,
        )

    @property
    def is_up(self) -> bool:
        """Whether a call would be sent at once; where it is not, asking makes gRPC connect."""
        state = self._channel.get_state(try_to_connect=True)
        return state is grpc.ChannelConnectivity.READY

    async def call(self, request: bytes, timeout: float) -> Any:
        """The response to a request, which is given as its bytes. timeout: seconds.

        Raises grpc.aio.AioRpcError.
        """
        self.under_way += 1
        try:
            with tracing.call("pipeline", {"server.address": self.address}) as span:
                told = None if span is None else span.headers()
                return await self._inference(request, timeout=timeout, metadata=told)
        finally:
            self.under_way -= 1

    async def close(self) -> None:
        """End it; calls under way are cancelled."""
        await self._channel.close()


class Connections:
    """All connections to all addresses; made in the running event loop."""

    def __init__(self, addresses: Sequence[str], each: int) -> None:
        """addresses: HOST:PORT. each: how many connections to an address."""
        self._turn = 0
        self.all = [Connection(address) for _ in range(each) for address in addresses]
        self._keeper = asyncio.get_running_loop().create_task(self._keep_up())

    async def pick(self, patience: float, avoid: Connection | None = None) -> Connection:
        """The connection that is up and has the fewest calls under way.

        patience: seconds to wait for one while none is up. avoid: not this one, if there is
        another. Raises asyncio.TimeoutError.
        """
        end = time.monotonic() + patience
        while True:
            up = [connection for connection in self.all if connection.is_up]
            if up:
                return self._least(up, avoid)
            left = end - time.monotonic()
            if left <= 0:
                raise TimeoutError
            await asyncio.sleep(min(left, _LOOK_S))

    def _least(self, up: list[Connection], avoid: Connection | None) -> Connection:
        others = [connection for connection in up if connection is not avoid] or up
        least = min(others, key=lambda connection: (connection.under_way, connection.turn))
        self._turn += 1
        least.turn = self._turn
        return least

    async def close(self) -> None:
        """End them all."""
        self._keeper.cancel()
        await asyncio.wait([self._keeper])
        for connection in self.all:
            await connection.close()

    async def _keep_up(self) -> None:
        """Have lost connections made anew, also while there are no calls.

        gRPC would tell of changes by itself, but such a wait does not always end with its channel.
        A connection that is back at the next look is no news: idle ones are closed from time to
        time.
        """
        said = before = [False] * len(self.all)
        while True:
            now = [connection.is_up for connection in self.all]
            for place, connection in enumerate(self.all):
                is_up = now[place]
                if is_up != said[place] and (is_up or not before[place]):
                    word = "connected" if is_up else "connection lost"
                    _LOGGER.info("pipeline %s: %s", connection.address, word)
                    said = [*said[:place], is_up, *said[place + 1 :]]
            before = now
            await asyncio.sleep(_KEEP_S)
