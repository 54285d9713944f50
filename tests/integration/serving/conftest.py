"""The made graph, refreshed, and one service in front of it."""

from collections.abc import Iterator

import pytest

from loaders.gateway import Neo4jAddress, Neo4jGateway
from recsvc.refresh.options import RefreshOptions
from tests.conftest import Served, Service, once_refreshed, patient_service


@pytest.fixture(scope="package")
def served(
    neo4j_address: Neo4jAddress,
    session_gateway: Neo4jGateway,
    tmp_path_factory: pytest.TempPathFactory,
) -> Served:
    options = RefreshOptions(validation_users=60)
    return once_refreshed(neo4j_address, session_gateway, tmp_path_factory, options)


@pytest.fixture(scope="package")
def service(served: Served, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with patient_service(served, tmp_path_factory.mktemp("log") / "serve.log") as service:
        yield service
