"""All users of the odd shop, exported and proven."""

from pathlib import Path
from urllib.parse import quote

import orjson
import pytest

from loaders.gateway import Neo4jAddress, Neo4jGateway
from recsvc.errors import ProofError
from recsvc.recommend.proof import told_answer
from recsvc.service.export_schemas import ExportDocument
from tests.integration.conftest import odd_served
from tests.integration.in_process import serving
from tests.statement import statement

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]

SEEDS = (4242, 4711)
ALL_USERS = """
MATCH (u:User)
RETURN u.user_id AS user_id, COUNT { (u)-[:INTERACTED]->() } AS interactions ORDER BY user_id
"""


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
