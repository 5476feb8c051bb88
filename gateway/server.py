"""The gateway's process: ``python -m gateway.server CONFIG``. Started by `web_service.py`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import logging.config
import signal
import sys
from pathlib import Path

from gateway.app import make_app
from gateway.auth.access import Access
from gateway.auth.audit import Audit
from gateway.auth.key_cache import KeyCache
from gateway.auth.key_store import KeyStore
from gateway.backends.face_names import FaceNames
from gateway.backends.face_tokens import FaceTokens
from gateway.backends.library_calls import LibraryCalls
from gateway.backends.pipeline import Pipeline
from gateway.backends.search_batching import SearchBatcher
from gateway.backends.url_images import UrlImages
from gateway.components import Components
from gateway.context import Backends
from gateway.monitoring.metrics import Metrics
from inference.manifest import ManifestError
from inference.recogniser import load_recogniser
from inference.scores import Recogniser
from ops.stages.liveness import thresholds
from runtime.heartbeat import say_ready, wait_for_place
from runtime.listening import gateway_place, inherited, listen
from runtime.process import (
    allow_many_connections,
    die_with_parent,
    give_memory_back,
    take_turns_quickly,
)
from runtime.programs import GATEWAY
from runtime.telemetry import tracing
from runtime.telemetry.json_lines import formatter
from settings.config import Config, ConfigError, load_config, own_address
from settings.gateway import GatewayConfig
from settings.licences import licence_of
from web.server import HttpServer

LOG = logging.getLogger("gateway")
_LINE = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def main(argv: list[str]) -> int:
    """Serve until SIGTERM: 0 after a clean end, 2 for a configuration that cannot be used."""
    die_with_parent()
    config = load_config(argv[0])
    _set_up_log(config)
    tracing.set_up(config.tracing, GATEWAY)
    allow_many_connections()
    take_turns_quickly()
    import uvloop

    uvloop.install()
    try:
        asyncio.run(_serve(config))
    except (ConfigError, ManifestError) as error:
        print(f"web_service: {error}", file=sys.stderr, flush=True)
        return 2
    return 0


async def _serve(config: Config) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    settings = config.gateway
    socket = inherited() or listen(config, gateway_place(config), shared=False)
    components = _make_components(config)
    _warn_of_trust(settings)

    async def started() -> None:
        LOG.info("serving on %s:%d", settings.host, settings.port)
        give_memory_back()
        say_ready()
        await wait_for_place()

    http = HttpServer(make_app(components, started), settings.request_timeout_ms, lifespan="on")
    serving = asyncio.ensure_future(http.serve(sockets=[socket]))
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({stopping, serving}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    http.should_exit = True
    await serving
    await asyncio.to_thread(tracing.close)
    LOG.info("stopped")


def _warn_of_trust(settings: GatewayConfig) -> None:
    """Say in the log, and to whoever has started this, whom no key is asked of."""
    if not (settings.trusted_networks and settings.needs_keys):
        return
    sentence = (
        f"everybody in {', '.join(settings.trusted_networks)} may {settings.trusted_role} "
        f"in app {settings.trusted_app} without a key (gateway.trusted_networks)"
    )
    LOG.warning(sentence)
    print(f"web_service: warning: {sentence}", file=sys.stderr, flush=True)


def _make_components(config: Config) -> Components:
    settings = config.gateway
    library_config = config.library_config()
    keys = KeyStore(library_config)
    access = Access(config, KeyCache(keys))
    audit = None
    if settings.audit:
        file = _log_dir(config) / "audit.log"
        audit = Audit(file, config.log.max_bytes, config.log.backups)
    urls = None
    if settings.url_images:
        urls = UrlImages(settings.url_timeout_ms / 1000.0, settings.url_bytes)
    library = LibraryCalls(library_config, recogniser_of(config), settings.threads)
    backends = Backends(
        config=settings,
        library_config=library_config,
        metrics=Metrics(config),
        pipeline=Pipeline(
            settings.pipelines or (own_address(config.rpc_host, config.rpc_port),),
            settings.connections * (1 if settings.pipelines else config.replicas),
            config.limits.request_bytes,
        ),
        library=library,
        keys=keys,
        searches=SearchBatcher(library, settings.request_timeout_ms / 1000.0),
        face_tokens=FaceTokens(config.token_file(), settings.token_s, settings.tokens),
        face_names=FaceNames(library),
        urls=urls,
        picture_bytes=config.limits.picture_bytes,
        most_faces=config.limits.faces,
        liveness_thresholds=_liveness_thresholds(config),
    )
    return Components(backends, access, audit, _licences(config))


def recogniser_of(config: Config) -> Recogniser:
    """The recogniser that the pipeline runs. Raises ConfigError or ManifestError."""
    if "ArcFace" not in config.op:
        raise ConfigError(
            f"{config.path}: gateway.port: {config.gateway.port} is not allowed without "
            "op.ArcFace; 0 starts no gateway"
        )
    op = config.op["ArcFace"]
    return load_recogniser(config.chosen_models("ArcFace"), op.weights, op.flip)


def _licences(config: Config) -> dict[str, str]:
    """Of the models that stand here, by their names; a pipeline elsewhere may run others."""
    found = {}
    for name, op in config.op.items():
        with contextlib.suppress(ConfigError):
            directories = config.chosen_models(name) if op.models else []
            found.update({path.name: licence_of(path)[0] for path in directories})
    return found


def _liveness_thresholds(config: Config) -> dict[str, float]:
    if "Liveness" not in config.op:
        return {}
    return thresholds([path.name for path in config.chosen_models("Liveness")])


def _log_dir(config: Config) -> Path:
    return config.log_dir() / "PipelineServingLogs"


def _set_up_log(config: Config) -> None:
    """gateway.log beside the pipeline's logs, rotated like them."""
    directory = _log_dir(config)
    directory.mkdir(parents=True, exist_ok=True)
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": formatter(config.log.format, GATEWAY, {"format": _LINE})},
            "handlers": {
                "file": {
                    "class": "logging.handlers.RotatingFileHandler",
                    "filename": str(directory / "gateway.log"),
                    "maxBytes": config.log.max_bytes,
                    "backupCount": config.log.backups,
                    "formatter": "line",
                    "delay": True,
                }
            },
            "root": {"level": config.log.level, "handlers": ["file"]},
        }
    )
    for noisy in ("uvicorn", "asyncio", "grpc", "httpx", "httpcore", "alembic", "sqlalchemy"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
