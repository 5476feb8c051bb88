"""A stock Paddle Serving configuration is recognised, and each of its keys explained at once.

Whoever comes from Paddle Serving's examples has such a file. Only keys that this service does not
have are named; those that it shares (ports, ``tracer``, ``concurrency``, ``batch_size``) are not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from settings.stages import REQUIRED, STAGES

# The keys as Paddle Serving 0.9 checks them (pipeline_server.py), and what takes their place here.
# op.X stands for an op of any name.
_INSTEAD = {
    "worker_num": "limits.queue_length, how many requests are in a replica at once",
    "build_dag_each_worker": "replicas, processes with all stages each",
    "grpc_gateway_port": "gateway.port, the REST interfaces; 0: none",
    "enable_prometheus": "GET /metrics of the gateway",
    "prometheus_port": "gateway.port, GET /metrics of the gateway",
    "dag.is_thread_op": "nothing: stages are threads; replicas makes processes",
    "dag.retry": "nothing: no stage calls another server that could fail",
    "dag.client_type": "nothing: models run in the service itself",
    "dag.use_profile": "dag.tracer.interval_s, and python -m tracer for what it writes",
    "dag.channel_size": "limits.queue_length",
    "dag.channel_recv_frist_arrive": "nothing: a stage waits for all of its inputs",
    "op.X.timeout": "limits.request_timeout_ms, from arrival to answer",
    "op.X.retry": "nothing: no stage calls another server that could fail",
    "op.X.auto_batching_timeout": "nothing: the load decides how long a batch waits for more",
    "op.X.server_endpoints": "op.X.model, models run in the service itself",
    "op.X.client_config": "op.X.model, its model.yml says what goes in and out",
    "op.X.fetch_list": "op.X.model, its model.yml says what goes in and out",
    "op.X.local_service_conf": "the settings of the stage itself: model, devices, threads",
    "op.X.local_service_conf.client_type": "nothing: models run in the service itself",
    "op.X.local_service_conf.model_config": "op.X.model, a directory below models_dir",
    "op.X.local_service_conf.workdir": "nothing: no server is started",
    "op.X.local_service_conf.fetch_list": "op.X.model, its model.yml says what goes in and out",
    "op.X.local_service_conf.thread_num": "op.X.threads",
    "op.X.local_service_conf.device_type": "op.X.devices",
    "op.X.local_service_conf.devices": "op.X.devices",
    "op.X.local_service_conf.mem_optim": "nothing: always on",
    "op.X.local_service_conf.ir_optim": "nothing: always on",
    "op.X.local_service_conf.use_mkldnn": "nothing: on where it is faster",
    "op.X.local_service_conf.precision": "nothing: models run in float32",
    "op.X.local_service_conf.use_calib": "nothing: models run in float32",
    "op.X.local_service_conf.min_subgraph_size": "nothing: TensorRT is not used",
    "op.X.local_service_conf.mkldnn_cache_capacity": "nothing: chosen by the service",
    "op.X.local_service_conf.mkldnn_op_list": "nothing: chosen by the service",
    "op.X.local_service_conf.mkldnn_bf16_op_list": "nothing: models run in float32",
}
_NAME = re.compile(r"^op\.[^.]+")
_DEPTH = 4  # op.X.local_service_conf.devices


def stock_keys_explained(raw: dict[str, Any]) -> str | None:
    """What is to be said where the settings are Paddle Serving's; None where they are not.

    raw: the file's content.
    """
    foreign = {key: instead for key in _keys(raw) if (instead := _instead(key))}
    if not foreign:
        return None
    lines = [f"  {key} -> {instead}" for key, instead in foreign.items()]
    ops = raw.get("op")
    names = [str(name) for name in ops] if isinstance(ops, dict) else []
    lines += [
        f"  op.{name} -> no such stage; they are {', '.join(STAGES)}"
        for name in names
        if name not in STAGES
    ]
    missing = [name for name in REQUIRED if name not in names]
    if not missing:
        return "\n".join([f"{len(foreign)} of its keys are stock Paddle Serving's:", *lines])
    return "\n".join(
        [
            "this is a stock Paddle Serving configuration. The service has settings of its own: "
            "start from the config.yml that comes with it. What takes the place of each key:",
            *lines,
            f"  missing: op.{', op.'.join(missing)}",
        ]
    )


def _keys(section: Any, parents: tuple[str, ...] = ()) -> Iterator[str]:
    """The dotted names of all settings and sections."""
    for name, value in section.items():
        path = (*parents, str(name))
        inner = value if isinstance(value, dict) else {}
        if len(path) == _DEPTH:
            inner = {}
        # A section whose settings are explained one by one needs no line of its own.
        if not any(_instead(".".join((*path, str(key)))) for key in inner):
            yield ".".join(path)
        yield from _keys(inner, path)


def _instead(key: str) -> str | None:
    name = _NAME.match(key)
    if name is None:
        return _INSTEAD.get(key)
    found = _INSTEAD.get(_NAME.sub("op.X", key))
    return found.replace("op.X", name[0]) if found else None
