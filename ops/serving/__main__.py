"""The pipeline process: DAG, gRPC and HTTP, logs. Started by `web_service.py`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Mapping

from client.terminal.command import outlive_readers
from inference.processor import has_bf16, processor_flags
from ops.worker import StageError
from paddle_fence.internals import set_up_logs
from runtime.heartbeat import say_ready
from runtime.listening import begin_to_listen, bind, http_place, inherited
from runtime.process import (
    allow_many_connections,
    die_with_parent,
    give_memory_back,
    take_turns_quickly,
)
from runtime.programs import pipeline_title
from runtime.telemetry import tracing
from runtime.telemetry.json_lines import formatter
from settings.config import Config, ConfigError, load_config

_LOGGER = logging.getLogger("ops")
# Nobody waits for it any more: requests under way have been answered before.
_LAST_BATCH_S = 5.0


def main(argv: list[str]) -> int:
    """Serve until SIGTERM: ``ops.serving CONFIG [REPLICA]``.

    Returns 0 after a clean end, 2 for a configuration that cannot be used.
    """
    die_with_parent()
    outlive_readers()
    config = load_config(argv[0])
    replica = int(argv[1]) if len(argv) > 1 else 0
    visible = config.visible_devices(replica)
    if visible is not None:
        # CUDA reads it once, at its first call in a process.
        os.environ["CUDA_VISIBLE_DEVICES"] = visible
    _set_up_logs(config, replica)
    tracing.set_up(config.tracing, pipeline_title(config, replica))
    allow_many_connections()
    take_turns_quickly()
    import cv2
    import uvloop

    # The stages' threads are the parallelism; OpenCV's own would compete with them.
    cv2.setNumThreads(1)
    uvloop.install()
    try:
        asyncio.run(_serve(config, replica))
    except (ConfigError, StageError) as error:
        print(f"web_service: {_line(error)}", file=sys.stderr, flush=True)
        return 2
    _LOGGER.info("stopped")
    tracing.close()
    logging.shutdown()
    return 0


def _line(error: Exception) -> str:
    """One line, however much Paddle has to say."""
    text = " ".join(str(error).split())
    return text if len(text) < 500 else f"{text[:500]} ..."


def _engines(models: Mapping[str, str], engines: Mapping[str, str]) -> str:
    """Which engine runs which models, in words, and what the processor lacks for a faster one."""
    found: dict[str, list[str]] = {}
    for stage, way in engines.items():
        found.setdefault(way, []).append(models[stage])
    words = "; ".join(f"{way}: {', '.join(names)}" for way, names in found.items())
    lack = "" if has_bf16(processor_flags()) else " (this processor has no bf16)"
    return words + lack


async def _serve(config: Config, replica: int) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    # Paddle Serving prints its progress.
    with contextlib.redirect_stdout(None):
        from ops import figures
        from ops.serving.executor import Executor
        from ops.serving.http_server import PipelineApp
        from ops.serving.rpc_server import RpcServer
        from web.server import HttpServer

        executor = Executor(config, replica)
    executor.start()
    shared = config.replicas > 1
    rpc = RpcServer(config, executor, shared)
    await rpc.start()
    http = HttpServer(PipelineApp(config, executor), config.limits.request_timeout_ms)
    serving = None
    if config.http_port:
        place = http_place(config)
        # The parent's outlives this process, and so do the connections that wait in it.
        socket = begin_to_listen(config, place, inherited() or bind(config, place, shared))
        serving = asyncio.ensure_future(http.serve(sockets=[socket]))
    for note in executor.notes:
        print(f"web_service: {note}", file=sys.stderr, flush=True)
        _LOGGER.warning("%s", note)
    if replica == 0:
        print(f"models run on {_engines(executor.models, executor.engines)}", flush=True)
    _LOGGER.info("serving with models %s on %s", executor.models, executor.engines)
    give_memory_back()
    say_ready(executor.is_well)
    writing = asyncio.ensure_future(
        executor.figures.keep_written(config.log_dir(replica) / figures.NAME)
    )
    await stop.wait()
    writing.cancel()
    _LOGGER.info("stopping: requests under way are finished")
    http.should_exit = True
    await rpc.stop()
    if serving is not None:
        await serving
    if not executor.stop(_LAST_BATCH_S):
        _LOGGER.warning("a stage has not come to its end")
        tracing.close()
        logging.shutdown()
        os._exit(0)


def _set_up_logs(config: Config, replica: int) -> None:
    """Paddle Serving's log files, in the configured folder."""
    directory = config.log_dir(replica)
    directory.mkdir(parents=True, exist_ok=True)
    os.environ["SERVING_LOG_PATH"] = str(directory)
    os.environ.setdefault("GLOG_minloglevel", "2")
    line = formatter(config.log.format, pipeline_title(config, replica), {})
    set_up_logs(config.log.level, config.log.max_bytes, config.log.backups, line)
    for noisy in ("uvicorn", "asyncio", "grpc"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
