"""The pipeline process: gRPC server, DAG, logs. Started by `web_service.py`."""

from __future__ import annotations

import contextlib
import logging
import logging.config
import os
import signal
import sys
import threading
import time
from concurrent import futures
from pathlib import Path
from typing import Any

from ops.config import Config, ConfigError, load_config
from ops.errors import ErrorKind, ServiceError
from ops.process import die_with_parent

DRAIN_QUIET_S = 0.4
DRAIN_LIMIT_S = 10.0
_LOGGER = logging.getLogger("ops")


def main(argv: list[str]) -> int:
    """Serve until SIGTERM; 0 after a clean end, 2 for a configuration that cannot be used."""
    die_with_parent()
    config = load_config(argv[0])
    _set_up_logs(config)
    import paddle

    # Paddle's handlers print a traceback on SIGTERM and end the process at once.
    paddle.disable_signal_handler()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        # Paddle Serving prints its progress.
        with contextlib.redirect_stdout(None):
            executor, server = _start(config)
    except ConfigError as error:
        print(f"web_service: {error}", file=sys.stderr, flush=True)
        return 2
    stop.wait()
    _LOGGER.info("stopping: requests under way are finished")
    _drain(executor)
    server.stop(config.limits.request_timeout_ms / 1000.0).wait()
    _LOGGER.info("stopped")
    logging.shutdown()
    return 0


def _set_up_logs(config: Config) -> None:
    """Paddle Serving's log files with our sizes, and without its line for every request."""
    directory = config.log_dir()
    directory.mkdir(parents=True, exist_ok=True)
    os.environ["SERVING_LOG_PATH"] = str(directory)
    os.environ.setdefault("GLOG_minloglevel", "2")
    from paddle_serving_server.pipeline import logger as serving_logger

    serving_logger.logger_config["root"]["level"] = config.log.level
    for handler in serving_logger.logger_config["handlers"].values():
        handler["maxBytes"] = config.log.max_bytes
        handler["backupCount"] = config.log.backups
        handler["delay"] = True
    logging.config.dictConfig(serving_logger.logger_config)
    # Several lines a request, formatted whether written or not.
    logging.getLogger("paddle_serving_server").setLevel(logging.ERROR)
    logging.getLogger("paddle_serving_server.pipeline.profiler").setLevel(logging.INFO)


def _drain(executor: Any) -> None:
    """Go on answering until nothing has come for a moment.

    A request that the HTTP gateway is still reading is under way for its client, but not here
    yet; a server that stops at once would refuse it.
    """
    give_up = time.monotonic() + DRAIN_LIMIT_S
    quiet_since = time.monotonic()
    while time.monotonic() < min(quiet_since + DRAIN_QUIET_S, give_up):
        if executor.in_flight:
            quiet_since = time.monotonic()
        time.sleep(0.02)


def _start(config: Config) -> tuple[Any, Any]:
    """The executor of the DAG and the gRPC server, which listens."""
    import grpc
    from paddle_serving_server.pipeline.proto import pipeline_service_pb2_grpc

    from ops.executor import Executor

    executor = Executor(config)
    executor.start()
    limits = config.limits
    # More threads than admitted requests: those over the limit get their answer at once.
    pool = futures.ThreadPoolExecutor(limits.queue_length + 16, thread_name_prefix="gRPC")
    server = grpc.server(
        pool,
        options=[
            ("grpc.max_receive_message_length", limits.request_bytes),
            ("grpc.max_send_message_length", -1),
            # Without this a second service on the port would take half of the requests.
            ("grpc.so_reuseport", 0),
        ],
    )
    pipeline_service_pb2_grpc.add_PipelineServiceServicer_to_server(
        _Servicer(config.name, executor), server
    )
    address = f"{config.rpc_host}:{config.rpc_port}"
    try:
        server.add_insecure_port(address)
    except RuntimeError:
        raise ConfigError(
            f"{config.path}: rpc_port: cannot listen on {address}: the port is taken"
        ) from None
    server.start()
    _LOGGER.info("listening on %s, models %s", address, executor.stages.models)
    return executor, server


class _Servicer:
    """The gRPC service of Paddle Serving's pipeline.proto."""

    def __init__(self, name: str, executor: Any) -> None:
        self._name = name
        self._executor = executor

    def inference(self, request: Any, context: Any) -> Any:
        try:
            if request.name not in ("", self._name):
                raise ServiceError(ErrorKind.NO_SUCH_SERVICE)
            return self._executor.call(request)
        except ServiceError as error:
            return _refuse(error, context)
        except Exception:
            _LOGGER.error("a request failed outside the stages", exc_info=True)
            return _refuse(ServiceError(ErrorKind.INTERNAL), context)


def _refuse(error: ServiceError, context: Any) -> Any:
    import grpc
    from paddle_serving_server.pipeline.proto import pipeline_service_pb2

    if error.kind.grpc_status:
        context.abort(grpc.StatusCode[error.kind.grpc_status], f"{error.code} {error.message}")
    return pipeline_service_pb2.Response(err_no=error.code, err_msg=error.message)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main(sys.argv[1:]))
