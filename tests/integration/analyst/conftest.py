"""An odd shop, which these tests only read."""

import pytest

from loaders.gateway import Neo4jAddress, Neo4jGateway
from tests.integration.conftest import odd_served
from tests.odd_shop import SEEDS
from tests.odd_shop_asked import Asked, asked_shop


@pytest.fixture(scope="package", params=SEEDS, ids=lambda seed: f"seed{seed}")
def asked(
    request: pytest.FixtureRequest,
    neo4j_address: Neo4jAddress,
    session_gateway: Neo4jGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> Asked:
    odd = odd_served(request.param, neo4j_address, session_gateway, tmp_path_factory)
    return asked_shop(session_gateway, odd.shop)
