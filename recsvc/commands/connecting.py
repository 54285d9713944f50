"""From settings to what they describe: the local Neo4j, a gateway, a store, an engine."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from loaders.commits import NewestCommits
from loaders.disk_versions import DiskVersions
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.local_neo4j import LocalNeo4j, LocalNeo4jOptions, free_port_after
from loaders.mapped import MappedGraph
from recsvc.graph.change_store import prune_changes
from recsvc.graph.outcome_store import prune_outcomes
from recsvc.graph.store import Store
from recsvc.outcomes.outcome import CLOCK_SKEW
from recsvc.outcomes.recommendation_id import RecommendationIds, kept_secret
from recsvc.recommend.engine import Engine
from recsvc.recommend.shard_client import HttpShard, ItemShards
from recsvc.recommend.write_counters import WriteCounters
from recsvc.refresh.places import ANALYST, forget_here
from recsvc.settings import Settings

if TYPE_CHECKING:
    from recsvc.refresh.log_comparison import OutcomeLog
    from recsvc.refresh.options import RefreshOptions
    from recsvc.refresh.run_manifest import RunManifest

_T = TypeVar("_T")
_PATIENCE_SECONDS = 30.0
"""Deadline of a read for somebody at a terminal: a Neo4j just started takes seconds to warm up."""


def local_neo4j(settings: Settings) -> LocalNeo4j:
    """The Neo4j on this machine, whether it runs or not."""
    password = settings.neo4j_password
    return LocalNeo4j(
        LocalNeo4jOptions(
            home=settings.home,
            bolt_port=settings.bolt_port,
            http_port=settings.http_port,
            user=settings.neo4j_user,
            password=password.get_secret_value() if password else None,
            heap_megabytes=settings.neo4j_heap_megabytes,
            page_cache_megabytes=settings.neo4j_page_cache_megabytes,
            start_timeout_seconds=settings.neo4j_start_timeout_seconds,
            version=settings.neo4j_version,
        )
    )


def analyst_neo4j(settings: Settings) -> LocalNeo4j:
    """The read-only Neo4j for analysts on this machine, whether it runs or not.

    It has a password of its own, and the next free ports after those of the other one.
    """
    taken = {settings.bolt_port, settings.http_port, settings.port}
    bolt_port = free_port_after(settings.bolt_port, taken)
    http_port = free_port_after(settings.http_port, taken | {bolt_port})
    return LocalNeo4j(
        LocalNeo4jOptions(
            home=analyst_folder(settings),
            bolt_port=bolt_port,
            http_port=http_port,
            heap_megabytes=settings.neo4j_heap_megabytes,
            page_cache_megabytes=settings.neo4j_page_cache_megabytes,
            start_timeout_seconds=settings.neo4j_start_timeout_seconds,
            version=settings.neo4j_version,
            read_only=True,
        )
    )


def analyst_folder(settings: Settings) -> Path:
    """The folder of all that is there for analysts."""
    return settings.home / ANALYST


def neo4j_address(settings: Settings, *, stopped: bool = False) -> Neo4jAddress:
    """The Neo4j that the settings name, else the one on this machine, if it runs.

    Args:
        settings: where it is.
        stopped: also the one on this machine that is stopped, for what does without it meanwhile.

    Raises:
        LocalNeo4jError: the settings name none and none runs on this machine.
    """
    if settings.neo4j_uri is None:
        address = local_neo4j(settings).address(stopped=stopped)
        mapped = settings.graph
        return replace(
            address, graph=mapped_graph(settings), database=mapped.database if mapped else None
        )
    password, database = settings.neo4j_password, _database(settings)
    return Neo4jAddress(
        settings.neo4j_uri,
        settings.neo4j_user,
        password.get_secret_value() if password else "",
        database,
        mapped_graph(settings),
        NewestCommits(settings.home / "bookmarks", f"{settings.neo4j_uri} {database or ''}"),
    )


def _database(settings: Settings) -> str | None:
    return (settings.graph and settings.graph.database) or settings.neo4j_database


def mapped_graph(settings: Settings) -> MappedGraph | None:
    """The graph of somebody else that the settings map; None where it is in our form."""
    if settings.graph is None:
        return None
    return MappedGraph(settings.graph, DiskVersions(settings.home / "versions"))


def open_gateway(settings: Settings) -> Neo4jGateway:
    """A gateway to that Neo4j; a context manager.

    Raises:
        Neo4jError: it does not answer.
    """
    return Neo4jGateway(neo4j_address(settings))


@contextmanager
def open_writing_gateway(settings: Settings) -> Generator[Neo4jGateway]:
    """A gateway to write through: no service on this machine keeps what it answered before.

    Raises:
        OSError: RECSVC_HOME cannot be written; nothing was.
        Neo4jError: it does not answer.
    """
    write_counters = open_write_counters(
        settings
    )  # before anything is written: the disk may be full
    try:
        with open_gateway(settings) as gateway:
            yield gateway
    finally:
        write_counters.note_write(anybody=True)
        write_counters.close()


def open_write_counters(settings: Settings) -> WriteCounters:
    """The numbers of the newest writes."""
    return WriteCounters(settings.home / "revisions")


def make_store(settings: Settings, timeout_seconds: float, *, stopped: bool = False) -> Store:
    """What requests read from and write to that Neo4j, not opened.

    Args:
        settings: where it is.
        timeout_seconds: deadline of each read.
        stopped: see `neo4j_address`.
    """
    store = Store(
        neo4j_address(settings, stopped=stopped),
        timeout_seconds=timeout_seconds,
        write_timeout_seconds=settings.write_timeout_seconds,
    )
    store.keeps_changes = keeps_changes(settings)
    return store


def keeps_changes(settings: Settings) -> bool:
    """Whether what is written is told to the feed of changes: not in somebody else's graph."""
    return settings.changes.keep_days > 0 and settings.graph is None


def make_engine(
    settings: Settings,
    timeout_seconds: float = _PATIENCE_SECONDS,
    write_counters: WriteCounters | None = None,
    *,
    stopped: bool = False,
    compares_for: str | None = None,
) -> Engine:
    """An engine on that Neo4j, not started.

    Args:
        settings: where it is, and what counts.
        timeout_seconds: deadline of each read.
        write_counters: where its writes are noted, for those who keep answers.
        stopped: see `neo4j_address`.
        compares_for: see `recsvc.recommend.active_snapshot.ActiveSnapshot`.
    """
    return Engine(
        make_store(settings, timeout_seconds, stopped=stopped),
        snapshot_folder=settings.home / "snapshots",
        events=settings.events,
        text=settings.text,
        max_evidence=settings.max_evidence,
        write_counters=write_counters,
        ids=recommendation_ids(settings),
        outcomes=settings.outcomes,
        forget_elsewhere=partial(forget_here, settings.home),
        compares_for=compares_for,
        shards=item_shards(settings),
    )


def item_shards(settings: Settings) -> ItemShards | None:
    """The shards that the settings name; None where they name none."""
    if not settings.shards:
        return None
    key, seconds = settings.shard_key, settings.request_timeout_seconds
    return ItemShards([HttpShard(address, key, seconds) for address in settings.shards])


def prune_old(gateway: Neo4jGateway, settings: Settings) -> int:
    """Delete outcomes and changes that are older than the settings keep them.

    Returns:
        How many outcomes.

    Raises:
        Neo4jError: the graph cannot be written.
    """
    if gateway.graph is not None:
        return 0  # somebody else's, in which none are stored
    now = datetime.now(UTC)
    prune_changes(gateway, now - timedelta(days=settings.changes.keep_days))
    keep_for = timedelta(days=settings.outcomes.keep_days) + CLOCK_SKEW
    return prune_outcomes(gateway, now - keep_for)


def outcome_log(gateway: Neo4jGateway, settings: Settings) -> "OutcomeLog | None":
    """Where a refresh reads what followed answers; None in somebody else's graph."""
    from recsvc.refresh.log_comparison import OutcomeLog

    if gateway.graph is not None:
        return None
    return OutcomeLog(gateway.address, settings.events, settings.max_evidence)


def recommendation_ids(settings: Settings) -> RecommendationIds:
    """The ids of answers, under the secret of the settings or of RECSVC_HOME.

    Where that folder cannot be written, nobody can read the ids of this process.

    Raises:
        SettingsError: the file of the secret holds none.
    """
    stated = settings.outcomes.secret
    if stated is not None:
        return RecommendationIds(stated.get_secret_value().encode())
    with suppress(OSError):
        return RecommendationIds(kept_secret(settings.home / "recommendation_ids"))
    return RecommendationIds()


@asynccontextmanager
async def open_engine(settings: Settings, *, watch: bool = True) -> AsyncGenerator[Engine]:
    """An engine on the Neo4j that the settings name, started; it stops when the block ends.

    Args:
        settings: where Neo4j is, and what counts.
        watch: whether it goes over to a new version when there is one.

    Raises:
        LocalNeo4jError: the settings name none and none runs on this machine.
        Neo4jError: it does not let us in.
    """
    engine = make_engine(settings)
    await engine.start(watch=watch)
    try:
        yield engine
    finally:
        await engine.stop()


def with_engine(settings: Settings, work: Callable[[Engine], Coroutine[Any, Any, _T]]) -> _T:
    """Start an engine, do `work` with it, stop it."""

    async def run() -> _T:
        async with open_engine(settings, watch=False) as engine:
            return await work(engine)

    return asyncio.run(run())


def refresh_graph(
    settings: Settings,
    options: "RefreshOptions",
    *,
    force: bool = False,
    from_scratch: bool = False,
) -> "RunManifest":
    """Make new versions of the models and of the blend from the graph, and activate them.

    Args:
        settings: where Neo4j is, and what counts.
        options: which models, and how.
        force: take over at once from a refresh that seems to be running, and activate also what
            the gate objects to.
        from_scratch: learn everything anew, also where it could go on from the active version.

    Raises:
        RefreshError: another refresh is running, or there is too little to learn from.
        GateError: the new versions are not good enough; they have failed.
        TrainingError: a model cannot be fitted.
        Neo4jError: the graph cannot be read or written.
    """
    from recsvc.refresh.pipeline import refresh  # what it learns with is not for who answers

    with open_gateway(settings) as gateway:
        prune_old(gateway, settings)
        return refresh(
            gateway, options, settings.events, home=settings.home,
            lease_seconds=settings.refresh_lease_seconds, force=force, from_scratch=from_scratch,
            log=outcome_log(gateway, settings),
        )  # fmt: skip
