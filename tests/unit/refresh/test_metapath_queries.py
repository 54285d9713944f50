"""Meta-paths that only Neo4j can compute."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from loaders.errors import ForeignGraphError
from loaders.gateway import Gateway
from recsvc.refresh import metapath_queries
from recsvc.refresh.metapath_queries import Neo4jPaths, refuse_undeclared
from tests.mappings import MOVIES


def test_in_a_mapped_graph_each_has_to_declare_its_walk(monkeypatch: pytest.MonkeyPatch) -> None:
    mapped = cast(Gateway, SimpleNamespace(graph=MOVIES))
    refuse_undeclared(mapped)  # those that come with it do
    monkeypatch.setattr(metapath_queries, "run_without_held_out", lambda: ["mine"])
    refuse_undeclared(cast(Gateway, SimpleNamespace(graph=None)))
    nothing = cast(Any, None)
    for refused in (
        lambda: refuse_undeclared(mapped),
        lambda: Neo4jPaths(mapped).held_out_scores(
            "mine", nothing, nothing, nothing, nothing, kinds=(), size=1, progress=nothing
        ),
    ):
        with pytest.raises(ForeignGraphError, match=r"mine\.cypher declares no walk.*declare its"):
            refused()
