"""The blend on tables and the one that a refresh serves of them are the same."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from loaders.gateway import Neo4jGateway
from loaders.local_neo4j import DEFAULT_LINE
from recsvc.blend.blend import BASE, LEAST_WEIGHT
from recsvc.settings import load_settings
from recsvc.training.experiment import TrialData, TrialOptions, rank_fitted, read_trial
from recsvc.training.served_experiment import options_as_served, rank_by_refresh
from tests.odd_shop import odd_shop

pytestmark = [
    pytest.mark.neo4j,
    pytest.mark.parametrize("neo4j_line", [DEFAULT_LINE], indirect=True),
]

QUICK = ("lightgcn.epochs=6", "node2vec.epochs=1", "held_out_share=0.4")
"""The defaults but for the length of the training, and more to learn λ from in a small shop."""


def trial(folder: Path) -> TrialData:
    """An odd shop, a sixth of its interactions apart; all of its users are ranked for."""
    odd_shop(folder, 0, "--clean")
    rows = pl.read_csv(folder / "interactions.csv", infer_schema=False).with_row_index()
    test = pl.col("index") % 6 == 2
    rows.filter(~test).drop("index").write_csv(folder / "interactions.csv")
    rows.filter(test).drop("index").write_csv(folder / "test.csv")
    data = read_trial(
        folder / "interactions.csv", folder / "test.csv", str(folder), load_settings().events
    )
    return replace(data, users=np.arange(len(data.graph.users)))


@pytest.mark.parametrize(
    "given",
    [
        QUICK,
        pytest.param(("models=fastrp,walk3,ridge", "held_out_share=0.4"), marks=pytest.mark.long),
    ],
)
def test_evaluate_hybrid_ranks_as_a_refreshed_graph(
    given: tuple[str, ...], gateway: Neo4jGateway, tmp_path: Path
) -> None:
    data = trial(tmp_path / "tables")
    assert not data.available.all()
    assert (data.asked.data < 0.0).any()
    assert (np.diff(data.evidence.indptr) == 0).any()  # somebody without evidence
    options = TrialOptions(seed=9, assignments=given)
    offline = rank_fitted("hybrid", data, options)
    served = rank_by_refresh(
        gateway, data, options_as_served(options), load_settings().events,
        folder=tmp_path, say=lambda _: None,
    )  # fmt: skip
    weights = offline.details["weights"]
    assert sum(weight > LEAST_WEIGHT for name, weight in weights.items() if name != BASE) > 1
    assert weights == pytest.approx(served.details["weights"], rel=1e-6)
    ours, theirs = offline.ranking, served.ranking
    np.testing.assert_array_equal(ours.items[:, :20], theirs.items[:, :20])
    assert offline.parts.keys() == served.parts.keys()
    for name, alone in offline.parts.items():
        np.testing.assert_array_equal(alone.items, served.parts[name].items)
    np.testing.assert_allclose(ours.scores, theirs.scores, rtol=0.0, atol=1e-5)
    assert np.isfinite(ours.scores).any()
