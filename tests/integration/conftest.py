"""What tests of the graph's content share."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import structlog

from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway
from recsvc import cli
from recsvc.refresh import RefreshReport, refresh
from recsvc.refresh_parts import RefreshOptions
from recsvc.settings import load_settings
from tests.forked_refresh import VERSIONS, make_graph

QUICK = RefreshOptions(models=("fastrp", "walk3"), validation_users=60)
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
def refreshed(graph: Neo4jGateway, tmp_path: Path) -> Callable[..., RefreshReport]:
    """Refreshes the graph; options by name, and `force`."""

    def run(*, force: bool = False, **options: Any) -> RefreshReport:
        chosen = QUICK.model_copy(update=options)
        return refresh(graph, chosen, load_settings().events, home=tmp_path / "home", force=force)

    return run


@pytest.fixture
def command(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process: its exit code, stdout and stderr."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["recsvc", *arguments])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        structlog.reset_defaults()
        told = capsys.readouterr()
        return int(ended.value.code or 0), told.out, told.err

    return run


def statuses(gateway: Neo4jGateway) -> dict[str, str]:
    return {f"{v['model']} {v['version']}": v["status"] for v in gateway.run(VERSIONS)}


def active(gateway: Neo4jGateway) -> dict[str, int]:
    versions = gateway.run(VERSIONS)
    return {v["model"]: v["version"] for v in versions if v["status"] == "active"}
