"""Serving: the service over HTTP, and the shards that hold the items for it."""

import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import uuid
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer

from loaders.files import held_folder
from recsvc.commands.connecting import (
    make_engine,
    make_store,
    mapped_graph,
    neo4j_address,
    open_write_counters,
)
from recsvc.errors import FOLDER_ERRNOS, SettingsError
from recsvc.person_links import PersonLinks
from recsvc.recommend.write_counters import WriteCounters
from recsvc.service.answer_cache import AnswerCache
from recsvc.service.callers import issuer_tokens
from recsvc.service.keys import key_file, key_ring
from recsvc.settings import MAX_SHARDS, Settings, load_settings
from recsvc.tracing import start_tracing, tracer_provider

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.applications import Starlette


_CONNECTION = "recsvc.service.connections:BoundedConnection"

_IDLE_SECONDS = 75
"""How long a connection may be idle: longer than clients and proxies keep one, 60 seconds mostly.
Were it closed first here, that could meet a request that was just sent."""

GRACE_SECONDS = 5
"""How long what is under way may take when the service is told to end."""

_log = structlog.get_logger()


def serve(
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many processes answer.")] = 1,
    shard: Annotated[
        str | None,
        typer.Option(
            metavar="I/N", help="Hold the I-th of N parts of the items, for a service that asks."
        ),
    ] = None,
) -> None:
    """Answer over HTTP, on loopback unless there are API keys, until Ctrl-C."""
    import uvicorn

    from recsvc.service.listening import SocketOfEach, check_address
    from recsvc.service.observability import METRICS_FOLDER, configure_logging
    from recsvc.service.workers import HANGING_SECONDS, Workers

    settings = load_settings()
    numbers = None if shard is None else _shard_number(shard)
    if numbers is None:
        require_keys(settings)
    else:
        require_shard_key(settings)
    options = server_options(settings, settings.port)
    check_address(str(settings.host), settings.port)
    if numbers is not None:
        if workers > 1:
            raise typer.BadParameter("a shard is one process: start it without --workers")
        uvicorn.run(_shard(settings, *numbers), **options)
        return
    if workers == 1:
        uvicorn.run(service(), **options)
        return
    # What is wrong is said once here, not by each process.
    neo4j_address(settings, stopped=True)
    tracer_provider(settings.otlp_endpoint)
    if write_counters := _write_counters(settings):
        write_counters.close()
    application = f"{__name__}:{service.__name__}"
    config = uvicorn.Config(
        application, factory=True, workers=workers,
        timeout_worker_healthcheck=HANGING_SECONDS, **options,
    )  # fmt: skip
    socket = config.bind_socket()  # it ends here and says so where the address is taken
    if sys.platform == "linux":  # elsewhere one socket of several has all connections
        socket.close()
        socket = SocketOfEach(socket.family, (config.host, config.port))
    temporary = Path(tempfile.gettempdir())
    with held_folder(temporary, "recsvc-metrics-") as folder, suppress(KeyboardInterrupt):
        configure_logging()
        os.environ[METRICS_FOLDER] = str(folder)
        Workers(config, sockets=[socket]).run()


def _shard_number(text: str) -> tuple[int, int]:
    """Number of a shard, from 1, and how many there are."""
    number, _, shards = text.partition("/")
    if number.isdecimal() and shards.isdecimal() and 1 <= int(number) <= int(shards) <= MAX_SHARDS:
        return int(number), int(shards)
    raise typer.BadParameter(
        f"{text!r} is no shard: expected I/N, such as 1/4 for the first of four, with at most "
        f"{MAX_SHARDS} shards",
        param_hint="--shard",
    )


def require_shard_key(settings: Settings) -> None:
    """See that others who reach a shard have to know its key.

    Raises:
        SettingsError: it listens for others, and there is none.
    """
    if not settings.host.is_loopback and settings.shard_key is None:
        raise SettingsError(
            f"host is {settings.host}, which others reach, and there is no shard_key: set "
            "RECSVC_SHARD_KEY to the same 16 characters or more here and for the service, or leave "
            "host at 127.0.0.1"
        )


def _shard(settings: Settings, number: int, shards: int) -> "Starlette":
    """A shard as `serve --shard` runs it."""
    from threadpoolctl import threadpool_limits

    from recsvc.recommend.served_items import ServedItems
    from recsvc.service.observability import configure_logging
    from recsvc.service.shard_app import create_shard_app

    configure_logging()
    threadpool_limits(1, user_api="blas")
    store = make_store(settings, settings.request_timeout_seconds, stopped=True)
    served = ServedItems(store, settings.home / "snapshots", number, shards)
    return create_shard_app(served, settings.shard_key)


def require_keys(settings: Settings) -> None:
    """See that others who reach the service need a key.

    Raises:
        SettingsError: it listens for others, no key was ever made, and no tokens are taken.
    """
    known = settings.oidc or key_file(settings).keys() is not None
    if not settings.host.is_loopback and not known:
        raise SettingsError(
            f"host is {settings.host}, which others reach, and there is no API key: create one "
            "with `recsvc keys create NAME`, or leave host at 127.0.0.1"
        )


def server_options(settings: Settings, port: int) -> dict[str, Any]:
    """What uvicorn is told: where to listen, and how much to take on."""
    return {
        "host": str(settings.host), "port": port, "log_level": "warning",
        "access_log": False, "timeout_graceful_shutdown": GRACE_SECONDS,
        "timeout_keep_alive": _IDLE_SECONDS, "http": _CONNECTION, "ws": "none",
        "limit_concurrency": settings.max_connections, "log_config": None,
    }  # fmt: skip


def service() -> "FastAPI":
    """The service as each process of `serve` runs it."""
    from recsvc.service.observability import configure_logging

    configure_logging()
    parent = multiprocessing.parent_process()
    if parent is None:
        return _service()
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    try:
        return _service()
    except Exception:  # whatever it is, it belongs into the log as JSON
        _log.exception("a process of the service cannot start")
        sys.exit(1)


def _service_name() -> str:
    """A name that all processes of this service share, and no other service has or had."""
    from recsvc.service.observability import METRICS_FOLDER

    alone = multiprocessing.parent_process() is None
    return uuid.uuid4().hex if alone else os.environ[METRICS_FOLDER]


def _service() -> "FastAPI":
    from threadpoolctl import threadpool_limits

    from recsvc.analyst.kit import kit
    from recsvc.service.app import create_app
    from recsvc.service.refreshes import Refreshes

    # The arrays of a request are small, and threads of BLAS that wait for each other cost more.
    threadpool_limits(1, user_api="blas")
    settings = load_settings()
    start_tracing(settings.otlp_endpoint)
    write_counters = _write_counters(settings)
    if write_counters is None:
        _log.warning("RECSVC_HOME cannot be written: no answer is kept", home=str(settings.home))
    engine = make_engine(
        settings, settings.request_timeout_seconds, write_counters, stopped=True,
        compares_for=_service_name(),
    )  # fmt: skip
    return create_app(
        engine,
        refreshes=Refreshes(settings.home),
        keys=key_ring(settings),
        tokens=issuer_tokens(settings.oidc),
        requests_per_minute=settings.requests_per_minute,
        answer_cache=_answer_cache(settings, write_counters),
        kit=kit(settings.events, mapped_graph(settings)),
        allowed_hosts=settings.allowed_hosts,
        cors_origins=settings.cors_origins,
        links=PersonLinks(settings.home),
    )


def _write_counters(settings: Settings) -> WriteCounters | None:
    """The numbers of the newest writes; None where their folder cannot be written.

    A service answers without them, and only keeps no answers: none would end when it is too old.

    Raises:
        OSError: something else is wrong with the file.
    """
    try:
        return open_write_counters(settings)
    except OSError as error:
        if error.errno not in FOLDER_ERRNOS:
            raise
        return None


def _answer_cache(settings: Settings, write_counters: WriteCounters | None) -> AnswerCache | None:
    if write_counters is None or not settings.answer_cache_seconds:
        return None
    return AnswerCache(
        write_counters,
        seconds=settings.answer_cache_seconds,
        max_bytes=settings.answer_cache_megabytes * 2**20,
    )


def _end_with(parent: BaseProcess) -> None:
    """A parent that is killed cannot end its processes."""
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
