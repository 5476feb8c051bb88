"""The Milvus that keeps the index, where the settings name one: a server, or a file of Milvus Lite.

Imported where the packages are there only, and only for an index on Milvus.
"""

from __future__ import annotations

import importlib.metadata
import os
import statistics
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
from pymilvus import MilvusException, connections, utility

from deploy.check.finding import Finding, failed, not_applicable, passed
from deploy.check.machine import PATIENCE_S, HangsError, within
from settings.library import LibraryConfig

_CONNECT_S = 3
_TRIES = 5
_LATER = ("milvus_version", "milvus_rights", "milvus_latency")


def probe(config: LibraryConfig, patience_s: float = 2 * PATIENCE_S) -> Iterator[Finding]:
    """The items about Milvus. patience_s: for all of them together."""
    uri, token = config.index.milvus_uri, config.index.milvus_token
    facts = {"place": uri or "?"}
    if not uri:
        yield failed("service.milvus", "library.index.milvus_uri is empty", "empty")
        yield from _unknown("no place is set")
        return
    if "://" not in uri:
        yield from _lite((config.folder / uri).resolve())
        return
    # What has been found is told, whatever comes after it.
    found: list[Finding] = []
    case = words = ""
    try:
        within(f"Milvus at {uri}", lambda: found.extend(_server(uri, token)), patience_s)
    except HangsError as error:
        case, words = "hangs", str(error)
    except (MilvusException, grpc.RpcError, grpc.FutureTimeoutError, OSError) as error:
        case = "token" if _is_refusal(error) else ""
        # pymilvus repeats no token, but what it repeats is not ours to know.
        words = _said(error).replace(token, "***") if token else _said(error)
    told = tuple(found)
    yield from told
    if not words:
        return
    if not told:
        said = "it refuses the token" if case == "token" else f"it cannot be reached: {words}"
        yield failed("service.milvus", words if case == "hangs" else said, case, "", **facts)
        yield from _unknown("Milvus cannot be reached")
        return
    # One item after the other is found, in this order.
    left = _LATER[len(told) - 1 :]
    yield failed(f"service.{left[0]}", words)
    yield from _unknown(words, left[1:])


def _unknown(why: str, names: tuple[str, ...] = _LATER) -> Iterator[Finding]:
    for name in names:
        yield not_applicable(f"service.{name}", why)


def _is_refusal(error: Exception) -> bool:
    code = getattr(error, "code", None)
    status = code() if callable(code) else code
    refusals = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
    return status in refusals or "auth check failure" in str(error).lower()


def _said(error: Exception) -> str:
    text = str(getattr(error, "message", "") or error) or type(error).__name__
    return " ".join(text.split())[:160]


def _server(uri: str, token: str) -> Iterator[Finding]:
    alias = f"check-{uuid.uuid4().hex}"
    connections.connect(alias, uri=uri, token=token, timeout=_CONNECT_S)
    try:
        version = str(utility.get_server_version(using=alias, timeout=_CONNECT_S)).lstrip("v")
        yield passed("service.milvus", f"at {uri}")
        yield Finding("service.milvus_version", version, version)
        taken: list[float] = []
        for _ in range(_TRIES):
            begun = time.perf_counter()
            names = utility.list_collections(using=alias, timeout=_CONNECT_S)
            taken.append((time.perf_counter() - begun) * 1000)
        yield passed("service.milvus_rights", f"may list its {len(names)} collections")
        median = statistics.median(taken)
        yield Finding("service.milvus_latency", f"{median:.1f} ms for a call", round(median, 1))
    finally:
        connections.remove_connection(alias)


def _lite(file: Path) -> Iterator[Finding]:
    """It is a process of the service's own, which is not started for a look at it."""
    version = importlib.metadata.version("milvus-lite")
    yield passed("service.milvus", f"Milvus Lite, {file}")
    yield not_applicable("service.milvus_version", f"Milvus Lite {version}, a package")
    folder = next(one for one in file.parents if one.is_dir())
    closed = [one for one in (file, folder) if one.exists() and not os.access(one, os.W_OK)]
    if closed:
        words = f"this user may not write {closed[0]}"
        yield failed("service.milvus_rights", words, "file", place=closed[0])
    else:
        yield passed("service.milvus_rights", "this user may read and write it")
    yield not_applicable("service.milvus_latency", "a file of this machine; see the disk")
