"""Answers: on the terminal, into a file, over HTTP."""

import asyncio
import dataclasses
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer

from loaders.files import held_folder, write_bytes
from recsvc.answer import Proof, SimilarAnswer, as_document, explanation_document
from recsvc.commands import console
from recsvc.commands._shared import (
    AsJson,
    Count,
    file_to_write,
    listed_users,
    print_document,
    training_graph,
)
from recsvc.commands.connecting import (
    make_engine,
    mapped_graph,
    neo4j_address,
    open_write_counters,
    with_engine,
)
from recsvc.errors import FOLDER_ERRNOS, ProofError, SettingsError
from recsvc.person_links import PersonLinks
from recsvc.recommend.engine import Engine
from recsvc.recommend.home import home_document
from recsvc.recommend.item_recourse import ItemRecourse, item_recourse_document
from recsvc.recommend.proof import MOST_PROOF_BYTES, Verified, told_answer
from recsvc.recommend.query import RecommendationQuery
from recsvc.recommend.recourse import Recourse, recourse_document
from recsvc.recommend.write_counters import WriteCounters
from recsvc.service.answer_cache import AnswerCache, answer_json
from recsvc.service.callers import issuer_tokens
from recsvc.service.keys import key_file, key_ring
from recsvc.settings import Settings, load_settings
from recsvc.tracing import start_tracing, tracer_provider

if TYPE_CHECKING:
    from fastapi import FastAPI

    from loaders.types import HeteroGraph
    from recsvc.snapshot.arrays import Snapshot

_CONNECTION = "recsvc.service.connections:BoundedConnection"
_IDLE_SECONDS = 75
"""How long a connection may be idle: longer than clients and proxies keep one, 60 seconds mostly.
Were it closed first here, that could meet a request that was just sent."""

_FILE_ITEMS = 20
_MOST_TOLD = 20

_log = structlog.get_logger()

GRACE_SECONDS = 5
"""How long what is under way may take when the service is told to end."""


ScenarioOption = Annotated[str | None, typer.Option(help="A stored scenario.")]


def recommend(
    user: str,
    k: Annotated[int | None, typer.Option("-k", min=1, max=500, help="How many; 10.")] = None,
    scenario: ScenarioOption = None,
    as_json: AsJson = False,
    proof: Annotated[
        Path | None,
        typer.Option(
            help="File for the answer in full as JSON, which `recsvc verify` makes again.",
            callback=file_to_write(".json"),
        ),
    ] = None,
) -> None:
    """The best items for a user, and why."""
    query = RecommendationQuery(scenario=scenario)
    if proof is not None:
        query = dataclasses.replace(query, explain="full", proof=True)
    if k is not None:
        query = dataclasses.replace(query, k=k, stated=frozenset({"k"}))
    answer = with_engine(load_settings(), lambda engine: engine.recommend(user, query))
    if proof is not None:
        write_bytes(proof, answer_json(answer))
    if as_json:
        console.print_json(as_document(answer))
    else:
        console.print_answer(answer)


def item_recourse(
    item: str,
    users: Annotated[int, typer.Option(min=1, max=50, help="How many users are looked at.")] = 20,
    k: Count = 10,
    event: Annotated[str, typer.Option(help="The kind of event that is added.")] = "interaction",
    as_json: AsJson = False,
) -> None:
    """What many users would have to do for an item to come into their lists."""
    sums = with_engine(
        load_settings(), lambda engine: engine.nodes.item_recourse(item, users, k, event)
    )
    if as_json:
        console.print_json(item_recourse_document(sums))
    else:
        console.print_line(_item_recourse_text(sums))


def _item_recourse_text(sums: ItemRecourse) -> str:
    lines = [f"{sums.users} users were looked at; {sums.listed} have it among their {sums.k}"]
    lines += [f"{number} would with {size} more" for size, number in sums.sizes.items()]
    lines += [f"{sums.not_found} would with nothing that was found"] * (sums.not_found > 0)
    lines += [f"{sums.never} cannot get it"] * (sums.never > 0)
    lines += [f"  {node.title or node.id} is in {number} of these" for node, number in sums.items]
    return "\n".join(lines)


def verify(
    answer: Annotated[
        Path, typer.Argument(help="File of an answer with a proof; - for standard input.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make the scores of an answer again, from the stored arrays that its proof names."""
    with sys.stdin.buffer if str(answer) == "-" else answer.open("rb") as file:
        told = told_answer(file.read(MOST_PROOF_BYTES + 1))
    result = with_engine(load_settings(), lambda engine: engine.verify(told.proof, told.items))
    if as_json:
        console.print_json(dataclasses.asdict(result))
    elif not result.wrong:
        console.print_line(_verified_text(told.proof, result))
    if result.wrong:
        raise ProofError(
            f"{len(result.wrong)} do not hold:\n" + "\n".join(result.wrong[:_MOST_TOLD])
        )


def _verified_text(proof: Proof, result: Verified) -> str:
    same = "to the last bit"
    if result.off:
        same = f"up to {result.off:.1g} of their size, as another kind of processor rounds"
    lines = [
        f"{result.numbers} numbers of {result.items} items are what version {proof.version} gives, "
        f"{same}"
    ]
    if result.weights:
        lines.append(f"chosen by the request, not by the version: λ of {', '.join(result.weights)}")
    if result.after:
        lines.append(f"taken as stated, added after the blend: {', '.join(result.after)}")
    return "\n".join(lines)


def home(user: str, as_json: AsJson = False) -> None:
    """Several titled rows for a user, no item twice."""
    started = time.perf_counter()
    rows_of_home = with_engine(load_settings(), lambda engine: engine.home(user))
    if as_json:
        console.print_json(
            home_document(rows_of_home, round((time.perf_counter() - started) * 1000, 3))
        )
    else:
        console.print_home(rows_of_home)


def explain(
    user: str,
    item: str,
    picture: Annotated[
        Path | None,
        typer.Option(
            help="File to draw it into: .svg or .png.", callback=file_to_write(".svg", ".png")
        ),
    ] = None,
    scenario: ScenarioOption = None,
    as_json: AsJson = False,
) -> None:
    """Why a user is, or would be, recommended an item."""
    answer = with_engine(load_settings(), lambda engine: engine.explain(user, item, scenario))
    if picture is not None:
        from recsvc.explain.picture import write_picture

        write_picture(answer, picture)
    if as_json:
        console.print_json(explanation_document(answer))
        return
    console.print_answer(answer)
    console.print_contributions(answer)


def recourse(
    user: str,
    item: str,
    k: Count = 10,
    event: Annotated[str, typer.Option(help="The kind of event that is added.")] = "interaction",
    as_json: AsJson = False,
) -> None:
    """The least that a user would have to do for an item to come into their list."""
    answer = with_engine(
        load_settings(), lambda engine: engine.nodes.recourse(user, item, k, event)
    )
    if as_json:
        console.print_json({"user_id": user, "item_id": item, **recourse_document(answer)})
    else:
        console.say(_recourse_text(item, answer))


def _recourse_text(item: str, recourse: Recourse) -> str:
    sure = "" if recourse.certain else ", as far as was looked"
    if recourse.reason is not None:
        return f"nothing brings {item} into the list: {recourse.reason}"
    if recourse.rank is not None:
        return f"{item} is in the list, at place {recourse.rank}"
    if recourse.added is None:
        return f"neither one item nor two bring {item} into the list{sure}"
    named = " and ".join(f"{item.title} [{item.id}]" if item.title else str(item.id)
                         for item in recourse.added)  # fmt: skip
    return f"{recourse.event} with {named} brings {item} to place {recourse.rank_then}{sure}"


def similar(
    item: str,
    k: Count = 10,
    model: Annotated[str | None, typer.Option(help="Which embedding model.")] = None,
    as_json: AsJson = False,
) -> None:
    """The items nearest to an item."""
    answer: SimilarAnswer = with_engine(
        load_settings(), lambda engine: engine.nodes.similar_items(item, k, model)
    )
    if as_json:
        console.print_json(as_document(answer))
    else:
        console.print_similar(answer)


def batch_recommend(
    out: Annotated[
        Path,
        typer.Option(
            help="File to write: .parquet or .jsonl.", callback=file_to_write(".parquet", ".jsonl")
        ),
    ],
    k: Annotated[
        int | None,
        typer.Option("-k", min=1, max=500, help="How many; what the scenario says, or 20."),
    ] = None,
    users: Annotated[
        Path | None, typer.Option(help="File with one user id per line; all users without it.")
    ] = None,
    scenario: ScenarioOption = None,
    as_json: AsJson = False,
) -> None:
    """The best items of many users, into one file."""
    from recsvc.recommend.batch_file import write_answers, write_recommendations

    settings = load_settings()
    listed = None if users is None else listed_users(settings, users)

    if scenario is not None:
        ids = list(training_graph(settings, None).users) if listed is None else listed
        query = RecommendationQuery(
            k=k or _FILE_ITEMS, explain="none", scenario=scenario, in_experiments=False,
            stated=frozenset({"k"} if k else ()),
        )  # fmt: skip
        with console.progress_bars() as bars:
            report = with_engine(
                settings, lambda engine: write_answers(out, engine, query, ids, bars)
            )
        print_document(dataclasses.asdict(report) | {"out": str(out)}, "written", as_json=as_json)
        return

    async def loaded(engine: Engine) -> "tuple[HeteroGraph, Snapshot, list[str]]":
        _ = engine.snapshot  # it ends here where there is none
        graph = await asyncio.to_thread(training_graph, settings, None)
        return graph, *await engine.snapshot_now(graph.items)

    graph, snapshot, newcomers = with_engine(settings, loaded)
    with console.progress_bars() as bars:
        report = write_recommendations(
            out, graph, snapshot, newcomers, settings.events, k or _FILE_ITEMS, listed, bars
        )
    print_document(dataclasses.asdict(report) | {"out": str(out)}, "written", as_json=as_json)


def serve(
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many processes answer.")] = 1,
) -> None:
    """Answer over HTTP, on loopback unless there are API keys, until Ctrl-C."""
    import uvicorn

    from recsvc.service.listening import SocketOfEach, check_address
    from recsvc.service.observability import METRICS_FOLDER, configure_logging
    from recsvc.service.workers import HANGING_SECONDS, Workers

    settings = load_settings()
    require_keys(settings)
    options = server_options(settings, settings.port)
    check_address(str(settings.host), settings.port)
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
