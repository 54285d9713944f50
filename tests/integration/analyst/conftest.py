"""Last.fm, which these tests only read."""

import pytest

from loaders.gateway import Neo4jGateway
from tests.analyst_lastfm import Lastfm, load_lastfm


@pytest.fixture(scope="package")
def lastfm(session_gateway: Neo4jGateway, tmp_path_factory: pytest.TempPathFactory) -> Lastfm:
    return load_lastfm(session_gateway, tmp_path_factory.mktemp("lastfm") / "rejects.csv")
