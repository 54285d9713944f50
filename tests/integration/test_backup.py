"""`recsvc backup` and `recsvc restore`, of a real local Neo4j that is wiped in between."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.local_neo4j import DEFAULT_LINE, LocalNeo4j, scratch_server
from loaders.shared_files import checkout_root
from loaders.tables import FolderTables
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.pipeline import refresh
from recsvc.service.keys import KeyFile, Scope
from recsvc.settings import load_settings
from tests.conftest import recsvc
from tests.graph_hash import graph_hash
from tests.statement import statement
from tests.taste_tables import write_tables

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]

QUICK = RefreshOptions(models=("fastrp",), validation_users=60)
SETTINGS = "[events.borrowed]\nweight = 1.0\n"


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalNeo4j]:
    """A local Neo4j with a graph that was refreshed, whose settings are in the current folder."""
    home = Path(os.environ.get("RECSVC_HOME", str((checkout_root() or Path()) / ".recsvc")))
    with scratch_server(home, heap_megabytes=384, version=DEFAULT_LINE) as server:
        urls = (server.address().uri, server.status().browser_url or "")
        bolt_port, http_port = (urlsplit(url).port for url in urls)
        given = {
            "HOME": str(server.folder.parent), "BOLT_PORT": str(bolt_port),
            "HTTP_PORT": str(http_port), "NEO4J_HEAP_MEGABYTES": "384",
            "NEO4J_PAGE_CACHE_MEGABYTES": "64", "NEO4J_VERSION": DEFAULT_LINE,
        }  # fmt: skip
        for name, value in given.items():
            monkeypatch.setenv(f"RECSVC_{name}", value)
        monkeypatch.delenv("RECSVC_NEO4J_URI", raising=False)
        monkeypatch.chdir(tmp_path)
        (tmp_path / "recsvc.toml").write_text(SETTINGS)
        (tmp_path / "tables").mkdir()
        write_tables(tmp_path / "tables")
        with Neo4jGateway(server.address()) as gateway:
            ingest(gateway, FolderTables(tmp_path / "tables"), rejects=tmp_path / "no", strict=True)
            refresh(gateway, QUICK, load_settings().events, home=server.folder.parent)
        yield server


def answer() -> dict[str, object]:
    document = json.loads(recsvc("recommend", "u1", "--json").stdout)
    return {name: document[name] for name in ("versions", "items")}


def test_what_is_wiped_comes_back_the_same(server: LocalNeo4j, tmp_path: Path) -> None:
    home, folder = server.folder.parent, tmp_path / "kept" / "first"
    key = KeyFile(home / "keys.json").create("shop", Scope.READ)
    before, with_gateway = answer(), Neo4jGateway(server.address())
    with with_gateway as gateway:
        whole = graph_hash(gateway)
    told = recsvc("backup", str(folder), "--json")
    assert told.returncode == 0, told.stderr
    made = json.loads(told.stdout)
    assert {"neo4j.dump", "keys.json", "recsvc.toml"} <= set(made["files"])
    assert made["away_seconds"] > 0
    assert recsvc("backup", str(folder)).returncode == 1  # it is there

    with Neo4jGateway(server.address()) as gateway:
        statement(gateway, "CREATE (:User {user_id: 'after'})")
    refused = recsvc("restore", str(folder))
    assert (refused.returncode, "--force" in refused.stderr) == (1, True)
    for name in ("keys.json", "keys.json.made", "recommendation_ids"):
        (home / name).unlink(missing_ok=True)
    shutil.rmtree(home / "snapshots", ignore_errors=True)
    (tmp_path / "recsvc.toml").unlink()
    restored = recsvc("restore", str(folder), "--force", "--json")
    assert restored.returncode == 0, restored.stderr
    with Neo4jGateway(server.address()) as gateway:
        assert graph_hash(gateway) == whole
    assert answer() == before
    assert [each.name for each in KeyFile(home / "keys.json").keys() or ()] == ["shop"]
    assert key not in told.stdout + told.stderr
    assert (tmp_path / "recsvc.toml").read_text() == SETTINGS

    manifest = folder / "backup.json"
    written = manifest.read_text()
    manifest.write_text(json.dumps(json.loads(written) | {"neo4j": "9999.1.0"}))
    later = recsvc("restore", str(folder), "--force")
    assert (later.returncode, "9999.1.0, which" in later.stderr) == (1, True)
    manifest.write_text(written)
    assert sorted(each.name for each in folder.parent.iterdir()) == ["first"]

    dump = folder / "neo4j.dump"
    with dump.open("r+b") as file:
        file.seek(dump.stat().st_size // 2)
        file.write(b"damaged")
    damaged = recsvc("restore", str(folder), "--force")
    assert (damaged.returncode, "is not what was written" in damaged.stderr) == (1, True)
    with Neo4jGateway(server.address()) as gateway:
        assert graph_hash(gateway) == whole
