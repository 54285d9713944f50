"""How many versions of a model stay in the graph."""

import pytest

from loaders import writeback
from loaders.gateway import Neo4jGateway
from tests.statement import statement

pytestmark = pytest.mark.neo4j

MADE = """
UNWIND ['hybrid', 'fastrp'] AS model UNWIND range(1, 50) AS version
CREATE (v:EmbeddingVersion {model: model, version: version, run: 'run',
  status: CASE version WHEN 3 THEN 'active' WHEN 4 THEN 'building'
            ELSE CASE WHEN version % 2 = 0 THEN 'retired' ELSE 'failed' END END})
SET v += CASE WHEN model = 'hybrid' THEN {validation_users: range(1, 500),
  validation_ndcg: [n IN range(1, 500) | 0.5], validation_asked: range(1, 500)} ELSE {} END
SET v.slot = CASE WHEN model = 'fastrp' AND version = 8 THEN 'a' END
FOREACH (_ IN CASE WHEN model = 'hybrid' AND version = 6 THEN [1] END |
  CREATE (v)-[:HAS_PART]->(:SnapshotPart))
"""
"""Of fifty the third is active, one holds a slot and one arrays."""


def test_the_newest_stay_and_those_that_hold_something(gateway: Neo4jGateway) -> None:
    statement(gateway, MADE)
    writeback.drop_unfinished(gateway, "run", "a test")
    rows = statement(gateway, "MATCH (v:EmbeddingVersion) RETURN v.model AS m, v.version AS v")
    newest = set(range(31, 51))
    for model, more in (("fastrp", {3, 4, 8}), ("hybrid", {3, 4, 6})):
        assert {row["v"] for row in rows if row["m"] == model} == newest | more
    measured = statement(
        gateway,
        "MATCH (v:EmbeddingVersion) WHERE v.validation_users IS NOT NULL "
        "OR v.validation_ndcg IS NOT NULL OR v.validation_asked IS NOT NULL RETURN v.version AS v",
    )
    assert {row["v"] for row in measured} == {3, 4, 6}  # what may be compared with yet
