"""What tests of the graph's content share."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from loaders.catalogue import Query
from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.ingest import IngestReport, ingest
from loaders.tables import FolderTables
from recsvc.recommend.engine import Engine
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.refresh.run_manifest import RunManifest
from recsvc.settings import load_settings
from tests.conftest import QUICK, Served, recsvc
from tests.forked_refresh import VERSIONS, make_graph, write_graph
from tests.graph_hash import graph_hash
from tests.integration.in_process import CLEAN, serving
from tests.odd_shop import SEEDS, OddShop, odd_shop
from tests.prepared_graph import prepared
from tests.statement import statement

ODD = RefreshOptions(models=("fastrp", "mf", "walk3"), validation_users=60)
"""Two models with vectors, which can be compared, and one without."""
Links = dict[tuple[Any, ...], dict[str, Any]]

RELATIONSHIPS = Query(
    "test/relationships",
    "All relationships, with the ids of their ends.",
    "read",
    {},
    {},
    """
    MATCH (a)-[r]->(b)
    RETURN type(r) AS type,
           collect([coalesce(a.user_id, a.item_id, a.category_id),
                    coalesce(b.user_id, b.item_id, b.category_id), properties(r)]) AS all
    """,
)

MOMENTS = Query(
    "tests/moments", "", "read", {}, {},
    "MATCH (v:EmbeddingVersion) RETURN v.model + ' ' + v.version AS name, "
    "v.activated_at AS activated, v.retired_at AS retired, v.overridden AS overridden",
)  # fmt: skip


@pytest.fixture
def relationships(gateway: Neo4jGateway) -> Callable[[str], Links]:
    """Relationships of one type by their ends and, of interactions, event."""

    def read(kind: str) -> Links:
        found = [row["all"] for row in gateway.run(RELATIONSHIPS) if row["type"] == kind]
        return {
            (start, end, link["event"]) if kind == "INTERACTED" else (start, end): link
            for links in found
            for start, end, link in links
        }

    return read


@pytest.fixture
def graph(gateway: Neo4jGateway, tmp_path: Path) -> Neo4jGateway:
    make_graph(gateway, tmp_path / "tables", users=60)
    return gateway


@pytest.fixture
def first(
    gateway: Neo4jGateway, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> RunManifest:
    """The first refresh of `graph`, whose place this takes."""
    folder, events = tmp_path / "tables", load_settings().events
    write_graph(folder, users=60)

    def make(home: Path) -> RunManifest:
        ingest(gateway, FolderTables(folder), rejects=tmp_path / "rejects.csv", strict=True)
        return refresh(gateway, QUICK, events, home=home)

    key, home = ("first", QUICK, events), tmp_path / "home"
    return prepared(gateway, tmp_path_factory, key, folder, make, home)[0]


@pytest.fixture
def refreshed(session_gateway: Neo4jGateway, tmp_path: Path) -> Callable[..., RunManifest]:
    """Refreshes what is there; options by name, and `force`."""

    def run(*, force: bool = False, **options: Any) -> RunManifest:
        chosen, home = QUICK.model_copy(update=options), tmp_path / "home"
        return refresh(session_gateway, chosen, load_settings().events, home=home, force=force)

    return run


@pytest.fixture
def command(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process: its exit code, stdout and stderr."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, str, str]:
        done = recsvc(*arguments)
        return done.returncode, done.stdout, done.stderr

    return run


def statuses(gateway: Neo4jGateway) -> dict[str, str]:
    return {f"{v['model']} {v['version']}": v["status"] for v in gateway.run(VERSIONS)}


def active(gateway: Neo4jGateway) -> dict[str, int]:
    versions = gateway.run(VERSIONS)
    return {v["model"]: v["version"] for v in versions if v["status"] == "active"}


@dataclass(frozen=True)
class OddServed:
    """An odd shop in Neo4j, ingested as its tables are and refreshed.

    Attributes:
        shop: its tables and what is true of them.
        served: the graph, and how to reach it.
        loaded: what the ingest said.
        seed: which shop it is.
        graph_hash: of the graph when it was refreshed.
    """

    shop: OddShop
    served: Served
    loaded: IngestReport
    seed: int
    graph_hash: str


_KEPT_ODD: list[OddServed] = []


@pytest.fixture(scope="module", params=SEEDS, ids=lambda seed: f"seed{seed}")
def odd(
    request: pytest.FixtureRequest,
    neo4j_address: Neo4jAddress,
    session_gateway: Neo4jGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> OddServed:
    """One odd shop for all tests of a module."""
    return odd_served(request.param, neo4j_address, session_gateway, tmp_path_factory)


def odd_served(
    seed: int, address: Neo4jAddress, gateway: Neo4jGateway, folders: pytest.TempPathFactory
) -> OddServed:
    """An odd shop; the one before is taken if its graph is as it was."""
    for kept in _KEPT_ODD[-1:]:
        same = kept.seed == seed and kept.served.address == address
        if same and graph_hash(gateway) == kept.graph_hash:
            return kept
    folder, events = folders.mktemp("shop"), load_settings().events
    shop = odd_shop(folder, seed)

    def make(home: Path) -> tuple[IngestReport, RunManifest]:
        rejects = folder / "rejects.csv"
        loaded = ingest(gateway, FolderTables(folder), rejects=rejects)
        return loaded, refresh(gateway, ODD, events, home=home)

    (loaded, report), home = prepared(gateway, folders, (ODD, events), folder, make)
    served = Served(address, gateway, report, home, folder)
    odd = OddServed(shop, served, loaded, seed, graph_hash(gateway))
    _KEPT_ODD.append(odd)
    return odd


@pytest.fixture
async def engine_and_client(
    served: Served, tmp_path: Any
) -> AsyncIterator[tuple[Engine, httpx.AsyncClient]]:
    """A service in this process, with no scenario, experiment or outcome before and after."""
    statement(served.gateway, CLEAN)
    async with serving(served, tmp_path) as (client, _, engine):
        yield engine, client
    statement(served.gateway, CLEAN)
