"""The made graph as a shop, and one service in front of it."""

import pytest

from tests.conftest import QUICK, Served, Service, shared_by_a_package
from tests.integration.scenarios.asking import Shop, run

served, service = shared_by_a_package(QUICK)


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
