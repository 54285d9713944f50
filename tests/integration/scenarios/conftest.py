"""The made graph as a shop, and one service in front of it."""

from collections.abc import Iterator

import pytest

from loaders.gateway import Neo4jAddress, Neo4jGateway
from tests.conftest import Served, Service, once_refreshed, patient_service
from tests.integration.conftest import QUICK
from tests.integration.scenarios.asking import Shop, run


@pytest.fixture(scope="package")
def served(
    neo4j_address: Neo4jAddress,
    session_gateway: Neo4jGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> Served:
    return once_refreshed(neo4j_address, session_gateway, tmp_path_factory, QUICK)


@pytest.fixture(scope="package")
def service(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with patient_service(served, tmp_path_factory.mktemp("log") / "serve.log") as service:
        yield service


@pytest.fixture(scope="package")
def shop(service: Service, served: Served) -> Shop:
    """Items have a brand, a price, some tags and an age; one came since the refresh."""
    run(
        served,
        "MATCH (i:Item) WITH i, toInteger(substring(i.item_id, 1)) AS n "
        "SET i.brand = 'b' + toString(n % 5), i.price = toFloat(n % 10), "
        "i.tags = ['t' + toString(n % 3)], i.created_at = datetime() - duration({days: n}) ",
    )
    run(
        served,
        "CREATE (:Item {item_id: 'new', title: 'New song', brand: 'b0', price: 1.0, "
        "created_at: datetime()})",
    )
    rows = run(served, "MATCH (i:Item) RETURN i.item_id AS id, properties(i) AS p")
    return {row["id"]: row["p"] for row in rows}
