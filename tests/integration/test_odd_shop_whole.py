"""All users of the odd shop exported and proven, and the shop backed up and put back."""

from pathlib import Path
from urllib.parse import quote

import orjson
import pytest

from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.ingest import ingest
from loaders.tables import FolderTables
from recsvc.errors import ProofError
from recsvc.recommend.proof import told_answer
from recsvc.refresh.pipeline import refresh
from recsvc.service.export_schemas import ExportDocument
from recsvc.settings import load_settings
from tests.conftest import recsvc
from tests.graph_hash import graph_hash
from tests.integration.conftest import ODD, odd_served
from tests.integration.in_process import serving
from tests.neo4j_servers import command_server
from tests.odd_shop import odd_shop
from tests.statement import statement

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]

SEEDS = (4242, 4711)
ALL_USERS = """
MATCH (u:User)
RETURN u.user_id AS user_id, COUNT { (u)-[:INTERACTED]->() } AS interactions ORDER BY user_id
"""
WIPE = "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS"


@pytest.mark.parametrize("seed", SEEDS)
async def test_every_user_is_exported_and_every_answer_is_made_again(
    seed: int, neo4j_address: Neo4jAddress, session_gateway: Neo4jGateway,
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path,
) -> None:  # fmt: skip
    odd = odd_served(seed, neo4j_address, session_gateway, tmp_path_factory)
    rows = statement(session_gateway, ALL_USERS)
    assert len(rows) > 50
    async with serving(odd.served, tmp_path) as (client, _, engine):
        for row in rows:
            user = row["user_id"]
            path = f"/v1/users/{quote(user, safe='').replace('.', '%2E')}"
            whole = await client.get(f"{path}/export")
            assert whole.status_code == 200, (user, whole.text)
            document = ExportDocument.model_validate_json(whole.content)
            assert len(document.interactions) == row["interactions"], user
            asked = {"explain": "full", "proof": True}
            answer = await client.get(f"{path}/recommendations", params=asked)
            assert answer.status_code == 200, (user, answer.text)
            if not orjson.loads(answer.content)["items"]:
                continue
            try:
                told = told_answer(answer.content)
            except ProofError as error:
                raise AssertionError(user) from error
            verified = await engine.verify(told.proof, told.items)
            assert (verified.wrong, verified.off) == ((), 0.0), user


@pytest.mark.parametrize("seed", SEEDS)
def test_the_shop_comes_back_from_its_backup(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    odd_shop(tmp_path / "tables", seed)
    with command_server() as server:
        with Neo4jGateway(server.address()) as gateway:
            ingest(gateway, FolderTables(tmp_path / "tables"), rejects=tmp_path / "rejects.csv")
            refresh(gateway, ODD, load_settings().events, home=server.folder.parent)
            before = graph_hash(gateway)
        told = recsvc("backup", str(tmp_path / "a backup"))
        assert told.returncode == 0, told.stderr
        with Neo4jGateway(server.address()) as gateway:
            statement(gateway, WIPE)
        told = recsvc("restore", str(tmp_path / "a backup"))
        assert told.returncode == 0, told.stderr
        with Neo4jGateway(server.address()) as gateway:
            assert graph_hash(gateway) == before
